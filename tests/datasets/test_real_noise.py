"""Manifests of noise that nobody made, and noise in the validation set."""

from __future__ import annotations

import json

import layouts
import pytest
from yacs.config import CfgNode

from dassl.utils import InputError
from datasets.food101n import Food101N
from datasets.noise.manifest import read_manifest
from datasets.noisy import add_noise, add_noise_defaults
from datasets.webvision import WebVisionMini


def noisy_cfg(make_cfg, root, name, **noise):
    cfg = make_cfg(root)
    cfg.DATASET.NAME, cfg.TRAIN, cfg.TRAINER = name, CfgNode(), CfgNode()
    add_noise_defaults(cfg)
    cfg.DATASET.NOISE.update(noise)
    return cfg


def test_food101n_knows_only_what_a_person_found_right(tmp_path, make_cfg, caplog):
    layouts.food101n(tmp_path)
    cfg = noisy_cfg(make_cfg, tmp_path, "Food101N")
    clean = Food101N(cfg)
    with caplog.at_level("INFO"):
        data = add_noise(cfg, Food101N(cfg))
    assert [(x.impath, x.label) for x in data.train_x] == [(x.impath, x.label) for x in clean.train_x]
    known = {x.impath.split("images/")[1]: x.gttarget for x in data.train_x if x.gttarget >= 0}
    assert known == {"waffles/000.jpg": 2, "baby_back_ribs/001.jpg": 1}
    assert data.noise["type"] == "real" and data.noise["rate"] is data.noise["flipped"] is None
    assert data.noise["params"] == {"looked_at": 3, "wrong": 1}
    file = tmp_path / "food-101n/noise/-1shot_split1/real.json"
    assert read_manifest(file).sha256 == data.noise["sha256"]
    rows = {row["impath"]: (row["true"], row["noisy"]) for row in json.loads(file.read_text())["items"]}
    assert rows["apple_pie/002.jpg"] == (None, 0) and rows["waffles/000.jpg"] == (2, 2)
    assert data.noise["sha256"] in caplog.text and "of 9 labels 3 were verified, of which 1 are wrong" in caplog.text
    given = add_noise(noisy_cfg(make_cfg, tmp_path, "Food101N", MANIFEST=str(file)), Food101N(cfg))
    assert given.noise == data.noise
    assert [x.gttarget for x in given.train_x] == [x.gttarget for x in data.train_x]


def test_without_verification_nothing_is_known(tmp_path, make_cfg, caplog):
    layouts.food101n(tmp_path)
    layouts.webvision(tmp_path)
    (tmp_path / "food-101n/meta/verified_val.tsv").unlink()
    with caplog.at_level("INFO"):
        data = [
            add_noise(cfg, loader(cfg))
            for loader in (Food101N, WebVisionMini)
            for cfg in [noisy_cfg(make_cfg, tmp_path, loader.__name__)]
        ]
    assert "verified_val.tsv does not exist" in caplog.text
    for each in data:
        assert {x.gttarget for x in each.train_x} == {-1} and each.noise["params"] == {"looked_at": 0, "wrong": 0}
    assert data[0].noise["sha256"] != data[1].noise["sha256"]


def test_noise_on_top_of_the_webs_says_what_counts_as_true(tmp_path, make_cfg, caplog):
    layouts.food101n(tmp_path)
    cfg = noisy_cfg(make_cfg, tmp_path, "Food101N", TYPE="sym_other", RATE=0.5)
    with caplog.at_level("WARNING"):
        data = add_noise(cfg, Food101N(cfg))
    assert data.noise["type"] == "sym_other" and data.noise["flipped"] > 0
    assert "Food101N's labels come from the web" in caplog.text


def test_a_dataset_without_noise_of_its_own_stays_clean(root, make_cfg, toy):
    cfg = noisy_cfg(make_cfg, root, "Toy")
    assert add_noise(cfg, toy(cfg)).noise is None


# ---------------------------------------------------------------------- the validation set


def labels(items):
    return [x.label for x in items]


@pytest.mark.parametrize("kind", ["sym_other", "pair_next", "sym_per_class"])
def test_noise_in_the_validation_set_is_a_switch(root, make_cfg, toy, kind):
    clean = toy(make_cfg(root))
    train_only, both = (
        add_noise(cfg, toy(cfg))
        for val in (False, True)
        for cfg in [noisy_cfg(make_cfg, root, "Toy", TYPE=kind, RATE=0.5, VAL=val)]
    )
    assert labels(train_only.val) == labels(clean.val) and "val" not in train_only.noise
    assert labels(both.train_x) == labels(train_only.train_x), "the training list is the same"
    assert [x.gttarget for x in both.val] == labels(clean.val)
    assert [x.impath for x in both.val] == [x.impath for x in clean.val]
    wrong = sum(x.label != x.gttarget for x in both.val)
    assert wrong == len(clean.val) // 2 if kind != "sym_per_class" else 8 < wrong < 12
    assert labels(both.test) == labels(clean.test)
    assert both.noise["val"] is True and both.noise["sha256"] != train_only.noise["sha256"]
    assert all(x.classname == both.classnames[x.label] for x in both.val)


@pytest.mark.parametrize("kind", ["sym_other", "sym_bernoulli"])
def test_draws_of_the_validation_set_are_its_own(root, make_cfg, toy, kind):
    """Were they those of the training list, equal lists would have equal noise."""
    cfg = noisy_cfg(make_cfg, root, "Toy", TYPE=kind, RATE=0.5, VAL=True)
    data = toy(cfg)
    data._val = list(data.train_x)
    data = add_noise(cfg, data)
    assert [x.impath for x in data.val] == [x.impath for x in data.train_x]
    assert labels(data.val) != labels(data.train_x)


def test_the_manifest_holds_the_validation_set(root, make_cfg, toy):
    made = noisy_cfg(make_cfg, root, "Toy", TYPE="sym_other", RATE=0.5, VAL=True)
    data = add_noise(made, toy(made))
    file = root / "toy/noise/-1shot_split1/sym_other_r0500_n1_val.json"
    assert len(json.loads(file.read_text())["val"]) == len(data.val)
    given = add_noise(noisy_cfg(make_cfg, root, "Toy", MANIFEST=str(file)), toy(made))
    assert labels(given.val) == labels(data.val) and given.noise == data.noise
    changed = json.loads(file.read_text())
    changed["val"][0]["noisy"] = (changed["val"][0]["noisy"] + 1) % 5
    file.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="hash does not fit"):
        read_manifest(file)


def test_higher_rates_hold_the_lower_ones(root, make_cfg, toy):
    wrong = []
    for rate in (0.25, 0.5, 0.75):
        cfg = noisy_cfg(make_cfg, root, "Toy", TYPE="sym_other", RATE=rate, VAL=True)
        wrong.append({(x.impath, x.label) for x in add_noise(cfg, toy(cfg)).val if x.label != x.gttarget})
    assert wrong[0] < wrong[1] < wrong[2]


def test_what_the_switch_cannot_do_is_said(root, tmp_path_factory, make_cfg, toy):
    plain = noisy_cfg(make_cfg, root, "Toy", TYPE="sym_other", RATE=0.5)
    add_noise(plain, toy(plain))
    file = root / "toy/noise/-1shot_split1/sym_other_r0500_n1.json"
    food = tmp_path_factory.mktemp("food")
    layouts.food101n(food)
    for cfg, loader, says in (
        (noisy_cfg(make_cfg, root, "Toy", VAL=True), toy, "there is no noise"),
        (noisy_cfg(make_cfg, root, "Toy", VAL=True, MANIFEST=str(file)), toy, "no noise for the validation set"),
        (noisy_cfg(make_cfg, food, "Food101N", VAL=True, TYPE="pair_next", RATE=0.5), Food101N, "Food101N has none"),
    ):
        with pytest.raises(InputError, match=says):
            add_noise(cfg, loader(cfg))
    swaps = noisy_cfg(make_cfg, root, "Toy", VAL=True, TYPE="fp_swap_sym", RATE=0.5)
    swaps.DATASET.NUM_SHOTS = 2
    with pytest.raises(InputError, match="fp_swap_sym has no form for it"):
        add_noise(swaps, toy(swaps))
