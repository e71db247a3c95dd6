"""Adversarial sets on disk: making, mending, finding, refusing."""

from __future__ import annotations

import json
import multiprocessing
import os
import random

import numpy as np
import pytest
import torch
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset

import train
from attacks import Surrogate
from attacks.losses import cross_entropy
from clipkit import load_clip
from dassl.data.datasets import build_dataset
from dassl.utils import InputError
from datasets.adversarial import find_set
from datasets.attacked import make as adversarial_make
from datasets.attacked.make import make_set
from datasets.attacked.manifest import check_fits, describe, key_of, list_hash, listed, stratified
from datasets.attacked.pictures import base_pictures, picture_transform
from datasets.attacked.store import MANIFEST, AdversarialSet, picture_hash

ATTACK = {"TEST.ADV_SET": "make", "ATTACK.EPS": 8.0, "ATTACK.STEPS": 3, "ATTACK.BATCH": 5}


def config(tiny, tmp_path, **pairs):
    """A run's config that makes sets under tmp_path, and its clean dataset."""
    found = ATTACK | {"ATTACK.DIR": tmp_path / "adv"} | {key.replace("__", "."): value for key, value in pairs.items()}
    argv = tiny.arguments(tmp_path / "run", "ZeroshotCLIP", (), {"DATASET.SUBSAMPLE_CLASSES": "all", **found})
    cfg = train.setup_cfg(train.build_parser().parse_args(argv))
    clean = cfg.clone()
    clean.defrost()
    clean.TEST.ADV_SET = ""
    return cfg, build_dataset(clean)


def made(tiny, tmp_path, shard: int = 1000, **pairs) -> AdversarialSet:
    cfg, dataset = config(tiny, tmp_path, **pairs)
    return AdversarialSet(make_set(cfg, dataset, shard=shard))


def stacked(found: AdversarialSet) -> torch.Tensor:
    return torch.stack([found.picture(i) for i in range(len(found))])


def test_round_trip(tiny, tmp_path):
    """Pictures, rows, totals and manifest against what they say they are."""
    cfg, dataset = config(tiny, tmp_path)
    found = AdversarialSet(make_set(cfg, dataset, shard=7))
    pictures, items = stacked(found), dataset.test
    assert pictures.shape == (20, 3, 16, 16) and pictures.dtype == torch.uint8 and found.sizes == [7, 7, 6]
    given = cfg.INPUT
    clip = load_clip("", str(tiny.backbone))
    surrogate = Surrogate(clip, dataset.classnames, mean=given.PIXEL_MEAN, std=given.PIXEL_STD)
    clean = base_pictures(items, picture_transform(cfg))
    for i, (row, item) in enumerate(zip(found.rows, items, strict=True)):
        assert (row["index"], row["label"]) == (i, item.label)
        assert os.path.join(dataset.image_dir, row["path"]) == item.impath
        moved = (pictures[i].int() - clean[i].int()).abs()
        assert row["clean_sha256"] == picture_hash(clean[i]) and row["max_levels"] == moved.max() <= 8
        assert surrogate(pictures[i][None].float() / 255).argmax().item() == row["pred"]
        assert surrogate(clean[i][None].float() / 255).argmax().item() == row["clean_pred"]
        assert row["attack"] == "pgd" and row["steps"] == 3
    right = sum(row["pred"] == row["label"] for row in found.rows)
    assert found.totals["accuracy"] == 100 * right / 20 and found.totals["max_levels"] == 8
    assert found.totals["clean_accuracy"] >= found.totals["accuracy"]
    label = torch.tensor([item.label for item in items])
    losses = [cross_entropy(surrogate(x.float() / 255), label) for x in (torch.stack([*clean]), pictures)]
    assert (losses[0] < losses[1]).all()
    assert found.facts["eps"] == "8/255" and found.facts["mode"] == "transfer"
    assert len((found.folder / "table.csv").read_text().splitlines()) == 21
    assert found.folder.name == f"test-all-pgd-eps8-3-{found.key[:12]}"
    assert not list(found.folder.glob("*.tmp"))


def test_png_and_raw_are_equal(tiny, tmp_path):
    raw = made(tiny, tmp_path / "a", shard=8)
    png = made(tiny, tmp_path / "b", shard=8, ATTACK__STORE="png")
    assert torch.equal(stacked(raw), stacked(png)) and raw.rows == png.rows and raw.key == png.key
    assert len(list(png.folder.glob("pictures-*/*.png"))) == 20 and not list(png.folder.glob("*.npy"))


def test_pictures_do_not_depend_on_the_batch_or_the_other_images(tiny, tmp_path):
    one, other = (made(tiny, tmp_path / str(n), ATTACK__BATCH=n) for n in (1, 64))
    assert one.key == other.key
    assert (stacked(one) != stacked(other)).float().mean() < 0.01  # rounding of batched products
    assert [r["pred"] for r in one.rows] == [r["pred"] for r in other.rows]
    subset = made(tiny, tmp_path / "subset", ATTACK__BATCH=1, ATTACK__SUBSET=7)
    ids = [row["index"] for row in subset.rows]
    assert subset.manifest["subset"]["ids"] == ids and torch.equal(stacked(subset), stacked(one)[ids])


def test_global_random_states_are_left_alone(tiny, tmp_path):
    cfg, dataset = config(tiny, tmp_path)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    make_set(cfg, dataset)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_stratified():
    labels = [0] * 60 + [1] * 30 + [2] * 10
    ids = stratified(labels, 10, seed=0)
    assert ids == sorted(set(ids)) and [sum(labels[i] == c for i in ids) for c in range(3)] == [6, 3, 1]
    assert stratified(labels, 10, 0) == ids != stratified(labels, 10, 1)
    assert stratified(labels, 100, 0) == list(range(100))
    assert [sum(labels[i] == c for i in stratified(labels, 7, 0)) for c in range(3)] == [4, 2, 1]
    with pytest.raises(InputError, match="SUBSET is 101"):
        stratified(labels, 101, 0)


def test_images_that_a_list_names(tiny, tmp_path):
    """As RobustBench's list of ImageNet images: in any order, by the end of the path."""
    whole = made(tiny, tmp_path / "whole", ATTACK__BATCH=1)
    names = [os.path.basename(whole.rows[i]["path"]) for i in (11, 2, 7)]
    (tmp_path / "ids.txt").write_text("\n".join([*names, "", ""]))
    cfg, dataset = config(tiny, tmp_path / "few", ATTACK__BATCH=1)
    few = AdversarialSet(make_set(cfg, dataset, images=str(tmp_path / "ids.txt")))
    assert [row["index"] for row in few.rows] == [2, 7, 11] and few.manifest["subset"]["rule"] == "list"
    assert torch.equal(stacked(few), stacked(whole)[[2, 7, 11]]) and few.key != whole.key
    cfg, dataset = config(tiny, tmp_path / "both", ATTACK__SUBSET=3)
    with pytest.raises(InputError, match="by a list or drawn"):
        make_set(cfg, dataset, images=str(tmp_path / "ids.txt"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a/1.png\nb/3.png", "Line 2 of .*'b/3.png', fits none of the images"),
        ("1.png", "Line 1 of .*'1.png', fits 2 of the images"),
        ("a/1.png\n2.png\na/1.png", "Line 3 of .*names an image again"),
        ("\n\n", "is empty"),
        (None, "cannot be read"),
    ],
)
def test_lists_that_do_not_fit(tmp_path, text, says):
    file = tmp_path / "ids.txt"
    if text is not None:
        file.write_text(text)
    paths = ["val/a/1.png", "val/b/1.png", "val/b/2.png"]
    with pytest.raises(InputError, match=says):
        listed(paths, str(file))
    file.write_text("b/1.png\nval/b/2.png\n")
    assert listed(paths, str(file)) == [1, 2]


# ---------------------------------------------------------------------- going on, mending, sharing


def counted(monkeypatch, stop_after: int = 10**6) -> list[int]:
    """How many images were attacked; the attack stops with an error after so many batches."""
    seen, real = [], adversarial_make.attack_pictures

    def attack(settings, logits, clean, *rest):
        if len(seen) >= stop_after:
            raise KeyboardInterrupt
        seen.append(len(clean))
        return real(settings, logits, clean, *rest)

    monkeypatch.setattr(adversarial_make, "attack_pictures", attack)
    return seen


def test_an_interrupted_set_goes_on_to_the_same_end(tiny, tmp_path, monkeypatch):
    whole = made(tiny, tmp_path / "whole", shard=7)
    counted(monkeypatch, stop_after=3)  # a shard of 7 is two batches: the second shard is not full
    with pytest.raises(KeyboardInterrupt):
        made(tiny, tmp_path / "parts", shard=7)
    folder = next((tmp_path / "parts" / "adv" / "Tiny").iterdir())
    with pytest.raises(InputError, match="not finished"):
        AdversarialSet(folder)
    monkeypatch.undo()
    seen = counted(monkeypatch)
    parts = made(tiny, tmp_path / "parts", shard=7)
    assert sum(seen) == 13 and parts.folder == folder
    assert parts.content == whole.content and parts.rows == whole.rows and parts.totals == whole.totals


@pytest.mark.parametrize("store", ["raw", "png"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_only_a_damaged_shard_is_made_again(tiny, tmp_path, monkeypatch, store, damage):
    found = made(tiny, tmp_path, shard=7, ATTACK__STORE=store)
    file = found.folder / ("pictures-0001.npy" if store == "raw" else "pictures-0001/00003.png")
    data = file.read_bytes()
    file.write_bytes(data[:-100]) if damage == "truncated" else file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if damage == "gone":
        file.unlink()
    with pytest.raises(InputError, match="Shard 1 of .* is damaged or missing"):
        AdversarialSet(found.folder)
    seen = counted(monkeypatch)
    mended = made(tiny, tmp_path, shard=7, ATTACK__STORE=store)
    assert sum(seen) == 7 and mended.content == found.content and mended.rows == found.rows
    seen.clear()
    made(tiny, tmp_path, shard=7, ATTACK__STORE=store)
    assert seen == []


def test_pictures_that_were_exchanged_are_attacked_anew(tiny, tmp_path, monkeypatch):
    found = made(tiny, tmp_path, shard=7)
    files = [tiny.root / "tiny" / "images" / found.rows[i]["path"] for i in (8, 9)]
    before = [file.read_bytes() for file in files]
    seen = counted(monkeypatch)
    try:
        for file, content in zip(files, before[::-1], strict=True):
            file.write_bytes(content)
        again = made(tiny, tmp_path, shard=7)
        assert sum(seen) == 7 and again.key == found.key and again.content != found.content
        assert [r["clean_sha256"] for r in again.rows[8:10]] == [r["clean_sha256"] for r in found.rows[8:10]][::-1]
    finally:
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)


def _make_in_process(arguments: list[str], folder: str, queue) -> None:
    cfg = train.setup_cfg(train.build_parser().parse_args(arguments))
    clean = cfg.clone()
    clean.defrost()
    clean.TEST.ADV_SET = ""
    seen, real = [], adversarial_make.attack_pictures

    def attack(*args):
        seen.append(1)
        return real(*args)

    adversarial_make.attack_pictures = attack
    make_set(cfg, build_dataset(clean), shard=7)
    queue.put(len(seen))


def test_two_processes_make_it_once(tiny, tmp_path):
    pairs = {"DATASET.SUBSAMPLE_CLASSES": "all", **ATTACK, "ATTACK.DIR": tmp_path / "adv"}
    arguments = tiny.arguments(tmp_path / "run", "ZeroshotCLIP", (), pairs)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    both = [context.Process(target=_make_in_process, args=(arguments, str(tmp_path), queue)) for _ in range(2)]
    for process in both:
        process.start()
    counts = sorted(queue.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    assert counts == [0, 6]
    assert len(AdversarialSet(next((tmp_path / "adv" / "Tiny").iterdir()))) == 20


# ---------------------------------------------------------------------- identity


def test_the_key_changes_with_every_field(tiny, tmp_path):
    found = made(tiny, tmp_path)
    manifest = found.manifest
    assert key_of(manifest) == found.key
    for field in manifest:
        assert key_of({**manifest, field: "another"}) != found.key, field
    for field in manifest["surrogate"]:
        assert key_of({**manifest, "surrogate": {**manifest["surrogate"], field: "another"}}) != found.key


@pytest.mark.parametrize(("key", "value"), [
    ("ATTACK.EPS", 4.0), ("ATTACK.STEPS", 2), ("ATTACK.SEED", 1), ("ATTACK.KEEP", "last"), ("ATTACK.RESTARTS", 2),
    ("ATTACK.RANDOM_START", False), ("ATTACK.QUANT", "trunc"), ("ATTACK.ONLY_CORRECT", True), ("ATTACK.SUBSET", 5),
    ("ATTACK.NAME", "noise"), ("ATTACK.PROMPT", "a drawing of a {}."), ("DATASET.SUBSAMPLE_CLASSES", "base"),
    ("INPUT.INTERPOLATION", "nearest"), ("INPUT.PIXEL_MEAN", [0.4, 0.4, 0.4]),
])  # fmt: skip
def test_the_key_changes_with_every_setting(tiny, tmp_path, key, value):
    plain = {"ATTACK__STEPS": 1}
    assert made(tiny, tmp_path, **plain).key != made(tiny, tmp_path, **plain | {key.replace(".", "__"): value}).key


def test_what_does_not_change_the_pictures_does_not_change_the_key(tiny, tmp_path):
    keys = {
        made(tiny, tmp_path / str(i), **pairs).key
        for i, pairs in enumerate([{}, {"ATTACK__BATCH": 20}, {"ATTACK__STORE": "png"}, {"ATTACK__TARGETS": 2}])
    }
    assert len(keys) == 1


def test_lists_differ_by_path_label_and_name(tiny, tmp_path):
    _, dataset = config(tiny, tmp_path)
    items, folder = dataset.test, dataset.image_dir
    plain = list_hash(items, folder)
    assert list_hash(items[::-1], folder) != plain and list_hash(items[:-1], folder) != plain
    items[3].label = items[3].label + 1
    assert list_hash(items, folder) != plain


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(("pairs", "says"), [
    ({"DATASET.SUBSAMPLE_CLASSES": "base"}, "subsample all, but this run has base"),
    ({"INPUT.INTERPOLATION": "nearest"}, "preprocessing"),
    ({"INPUT.PIXEL_MEAN": [0.4, 0.4, 0.4]}, "preprocessing"),
])  # fmt: skip
def test_another_configuration_is_refused(tiny, tmp_path, pairs, says):
    found = made(tiny, tmp_path)
    cfg, dataset = config(tiny, tmp_path, **{key.replace(".", "__"): value for key, value in pairs.items()})
    with pytest.raises(InputError, match=says):
        check_fits(found.manifest, cfg, dataset.test, dataset.image_dir, "test", "the set")
    with pytest.raises(InputError, match="split test, but this run has val"):
        check_fits(found.manifest, *config(tiny, tmp_path)[:1], dataset.val, dataset.image_dir, "val", "the set")


def test_another_list_is_refused(tiny, tmp_path):
    found = made(tiny, tmp_path)
    cfg, dataset = config(tiny, tmp_path)
    dataset.test[2].label = 4
    with pytest.raises(InputError, match="another list of images"):
        check_fits(found.manifest, cfg, dataset.test, dataset.image_dir, "test", "the set")


def test_a_changed_manifest_is_refused(tiny, tmp_path):
    found = made(tiny, tmp_path)
    file = found.folder / MANIFEST
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"quant": "trunc"}))
    with pytest.raises(InputError, match="changed after it was made"):
        AdversarialSet(found.folder)
    file.write_text("[]")
    with pytest.raises(InputError, match="not the manifest"):
        AdversarialSet(found.folder)
    with pytest.raises(InputError, match="There is no adversarial set"):
        AdversarialSet(tmp_path / "nowhere")


def test_sets_are_found_by_key(tiny, tmp_path):
    found = made(tiny, tmp_path)
    cfg, _ = config(tiny, tmp_path)
    for spec in (found.key, found.key[:8], str(found.folder)):
        assert find_set(spec, cfg) == found.folder
    other = "0" * 12 if not found.key.startswith("0" * 12) else "1" * 12
    for spec, says in ((other, "have the key"), ("nowhere", "is no folder"), ("abc", "is no folder")):
        with pytest.raises(InputError, match=says):
            find_set(spec, cfg)


@pytest.mark.parametrize(("pairs", "says"), [
    ({"ATTACK.QUANT": "none"}, "never stored"),
    ({"ATTACK.MODE": "W"}, "needs the trained method"),
    ({"ATTACK.SURROGATE": "self"}, "needs the trained method"),
    ({"ATTACK.SURROGATE": "RN50"}, "ATTACK.MODE X"),
    ({"ATTACK.NAME": "pgdd"}, "nearest"),
    ({"ATTACK.SUBSET": 1000}, "SUBSET is 1000"),
    ({"ATTACK.PROMPT": "a photo"}, "PROMPT"),
    ({"INPUT.SIZE": (32, 32)}, "reads 16 x 16"),
    ({"INPUT.SIZE": (16, 32)}, "reads 16 x 16"),
    ({"INPUT.TRANSFORMS": ("normalize", "instance_norm")}, "instance_norm"),
    ({"INPUT.NO_TRANSFORM": True}, "NO_TRANSFORM"),
])  # fmt: skip
def test_bad_input_leaves_nothing_behind(tiny, tmp_path, pairs, says):
    with pytest.raises(InputError, match=says):
        made(tiny, tmp_path, **{key.replace(".", "__"): value for key, value in pairs.items()})
    assert not (tmp_path / "adv").exists()


def test_a_folder_that_cannot_be_written(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give another ATTACK.DIR"):
        made(tiny, tmp_path, ATTACK__DIR=tmp_path / "file")


def test_the_manifest_says_what_the_set_is(tiny, tmp_path):
    cfg, dataset = config(tiny, tmp_path)
    found = AdversarialSet(make_set(cfg, dataset))
    manifest = found.manifest
    assert manifest["attack"] == [{
        "name": "pgd", "eps": "8/255", "alpha": "2/255", "steps": 3, "random_start": True, "restarts": 1,
        "keep": "best_loss",
    }]  # fmt: skip
    assert manifest["surrogate"]["prompt"] == "a photo of a {}." and manifest["preprocessing"]["size"] == [16, 16]
    assert manifest["classnames"] == dataset.classnames and manifest["subset"] is None
    assert {"pillow", "torchvision"} == set(manifest["libraries"])
    again = describe(
        cfg, dataset.classnames, dataset.test, dataset.image_dir, "test", manifest["surrogate"],
        adversarial_make.AttackSettings.from_cfg(cfg, 5), None,
    )  # fmt: skip
    assert key_of(again) == found.key
