"""Every config key says what it may hold, and whatever else it is given ends with one sentence that names it."""

from __future__ import annotations

import functools
import json

import pytest
from yacs.config import CfgNode

import train
from dassl.config import add_keys, get_cfg_default
from dassl.config.allowed import ENGINE
from dassl.config.domains import Domain, check_value
from dassl.config.values import all_keys, merge_pairs
from dassl.config.yaml_file import read_leaves
from dassl.data.datasets import DATASET_REGISTRY
from dassl.data.samplers import build_sampler
from dassl.data.transforms import INTERPOLATION_MODES
from dassl.engine import TRAINER_REGISTRY
from dassl.optim.lr_scheduler import AVAI_SCHEDS
from dassl.optim.optimizer import AVAI_OPTIMS
from dassl.utils import InputError
from runs.config_domains import domains_of
from trainers.label_noise.label_filter import FILTERS

DEFAULTS = get_cfg_default()
train.extend_cfg(DEFAULTS)
DOMAINS = domains_of("CoOp")
# A test file of this session may have registered trainers with keys of their own.
KEYS = [key for key in all_keys(DEFAULTS) if key in DOMAINS]


def value(cfg: CfgNode, key: str) -> object:
    return functools.reduce(lambda node, part: node[part], key.split("."), cfg)


def merge_file(cfg: CfgNode, file: str, domains: dict[str, Domain]) -> None:
    merge_pairs(cfg, [x for leaf in read_leaves(file) for x in leaf], file, domains)


def only(key: str) -> CfgNode:
    """A config with this key alone."""
    add_keys(cfg := CfgNode(), {key: value(DEFAULTS, key)})
    return cfg


def ours() -> list[type]:
    registries = (TRAINER_REGISTRY, DATASET_REGISTRY)
    kinds = [registry.get(name) for registry in registries for name in registry.registered_names()]
    return [kind for kind in kinds if kind.__module__.partition(".")[0] in ("trainers", "datasets")]


def outside(domain: Domain) -> list[object]:
    """Values that the domain does not have, one for each of its limits."""
    if domain.kind == "flag":
        return ["zzz", 2, 1.0, "[True]"]
    if domain.kind == "list":
        good = 1 if domain.item.kind == "whole" else 0.5 if domain.item.kind == "number" else "random_flip"
        wrong = ["zzz", 3] + [[each] * (domain.lengths or (1,))[0] for each in outside(domain.item)]
        if domain.lengths:
            wrong += [[good] * n for n in range(6) if n not in domain.lengths]
        return wrong + ([[]] if domain.fewest else []) + ([(0.9, 0.1)] if domain.rising else [])
    if domain.choices:
        return ["zzz", 12345] + ([str(domain.choices[-1]) + "x"] if domain.kind == "text" else [])
    if domain.kind == "text":
        return ["", "  "] if domain.filled else []
    wrong: list[object] = ["zzz", True, "nan", "inf", "1e999", "[1]", "1" + "0" * 400]
    wrong += [domain.least - 1] if domain.least is not None else []
    wrong += [domain.most + 1] if domain.most is not None else []
    wrong += [each for each in (domain.above, domain.below) if each is not None]
    wrong += [2] if domain.odd else []
    return wrong + ([0.5] if domain.kind == "whole" else [])


def refused(key: str, given: object, merge) -> None:
    with pytest.raises(InputError) as caught:
        merge(only(key))
    text = str(caught.value)
    assert key in text and text.endswith(".") and "\n" not in text, (given, text)
    assert text.startswith(f"{key} is ") and "must be" in text


def test_every_key_has_a_domain_that_its_default_is_in():
    for kind in ours():
        declared = getattr(kind, "config_domains", {})
        assert set(getattr(kind, "config_defaults", {})) <= set(declared), kind
        for key, domain in declared.items():
            assert DOMAINS[key] == domain, f"{kind.__name__} and another class disagree on {key}"
    without = [key for key in all_keys(DEFAULTS) if key not in DOMAINS]
    assert without == [key for key in without if key.split(".")[1] == "SHOUT"]  # tests/trainers/test_discovery.py
    for key in KEYS:
        check_value(key, value(DEFAULTS, key), DOMAINS[key])


def test_the_choices_are_what_the_code_knows():
    assert list(ENGINE["OPTIM.NAME"].choices) == AVAI_OPTIMS
    assert list(ENGINE["OPTIM.LR_SCHEDULER"].choices) == AVAI_SCHEDS
    assert set(ENGINE["INPUT.INTERPOLATION"].choices) == set(INTERPOLATION_MODES)
    assert DOMAINS["TRAINER.FILTER"].choices == FILTERS
    with pytest.raises(InputError) as unknown:
        build_sampler("zzz")
    assert all(name in str(unknown.value) for name in ENGINE["DATALOADER.TEST.SAMPLER"].choices)


def test_domains_survive_json():
    """The plan of a suite keeps them so."""
    for key in KEYS:
        assert Domain.from_data(json.loads(json.dumps(DOMAINS[key].to_data()))) == DOMAINS[key], key


@pytest.mark.parametrize("key", KEYS)
def test_a_value_outside_is_refused(key, tmp_path):
    domain = DOMAINS[key]
    for wrong in outside(domain):
        refused(key, wrong, lambda cfg, wrong=wrong: merge_pairs(cfg, [key, str(wrong)], "the command line", DOMAINS))
        if not isinstance(wrong, str):
            refused(key, wrong, lambda cfg, wrong=wrong: merge_pairs(cfg, [key, wrong], "settings", DOMAINS))
    for blank in (None, "None"):
        cfg = only(key)
        if domain.blank:
            merge_pairs(cfg, [key, blank], "the command line", DOMAINS)
            assert value(cfg, key) == ""
        else:
            refused(key, blank, lambda cfg, blank=blank: merge_pairs(cfg, [key, blank], "settings", DOMAINS))
    *path, leaf = key.split(".")
    file = tmp_path / "blank.yaml"
    file.write_text("".join(f"{'  ' * i}{part}:\n" for i, part in enumerate([*path, leaf])))
    if domain.blank:
        merge_file(cfg := only(key), str(file), DOMAINS)
        assert value(cfg, key) == ""
    else:
        refused(key, "a blank", lambda cfg: merge_file(cfg, str(file), DOMAINS))


@pytest.mark.parametrize(
    "typed", ["20241105", "1e5", "2024", "007", "1_000", "True", "on", "2024-11-05", "0x10", "1.50"]
)
def test_texts_stay_as_typed(typed, tmp_path):
    keys = [key for key in KEYS if DOMAINS[key].kind == "text" and not DOMAINS[key].choices]
    assert {"OUTPUT_DIR", "DATASET.ROOT", "DATASET.FOLDER.PATH", "TRAINER.COOP.CTX_INIT", "ATTACK.DIR"} <= set(keys)
    for key in keys:
        cfg = only(key)
        merge_pairs(cfg, [key, typed], "the command line", DOMAINS)
        assert value(cfg, key) == typed
        *path, leaf = key.split(".")
        file = tmp_path / "typed.yaml"
        head = "".join(f"{'  ' * i}{part}:\n" for i, part in enumerate(path))
        file.write_text(f"{head}{'  ' * len(path)}{leaf}: {typed}\n")
        merge_file(cfg := only(key), str(file), DOMAINS)
        assert value(cfg, key) == typed
    file.write_text(f"DATASET:\n  SOURCE_DOMAINS: [{typed}, a]\n")
    merge_file(cfg := DEFAULTS.clone(), str(file), DOMAINS)
    assert (typed, "a") == cfg.DATASET.SOURCE_DOMAINS


def test_numbers_are_still_read(tmp_path):
    file = tmp_path / "numbers.yaml"
    file.write_text("OPTIM:\n  LR: 1e-5\n  STEPSIZE: (1, 2)\nINPUT:\n  SIZE: [4, 5]\n  PIXEL_STD: [1e-1, 1, 2.0]\n")
    cfg = DEFAULTS.clone()
    merge_file(cfg, str(file), DOMAINS)
    merge_pairs(cfg, ["OPTIM.GAMMA", "1", "INPUT.TRANSFORMS", "['random_flip']"], "the command line", DOMAINS)
    assert (cfg.OPTIM.LR, cfg.OPTIM.STEPSIZE, cfg.INPUT.SIZE, cfg.OPTIM.GAMMA) == (1e-5, (1, 2), (4, 5), 1.0)
    assert cfg.INPUT.PIXEL_STD == [0.1, 1, 2.0] and cfg.INPUT.TRANSFORMS == ("random_flip",)
    assert type(cfg.OPTIM.GAMMA) is float


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("OPTIM:\n  LR: 0.1\n  LR: 0.2\n", "OPTIM.LR twice, in lines 2 and 3"),
        ("OPTIM: {LR: 0.1, LR: 0.2}\n", "OPTIM.LR twice"),
        ("SEED: 1\nSEED: 1\n", "SEED twice"),
        ("a: &x [*x]\n", "not valid YAML"),
        ("OPTIM: !!python/object:os.system {}\n", "not valid YAML"),
        ("? [SEED]\n: 1\n", "Unknown config key"),
    ],
)
def test_yaml_that_says_two_things_or_none(tmp_path, text, says):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        merge_file(DEFAULTS.clone(), str(file), DOMAINS)


def config(*words: str) -> CfgNode:
    return train.setup_cfg(train.build_parser().parse_args(["--trainer", "CoOp", *words]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["OPTIM.MAX_EPOCH", "0"], "OPTIM.MAX_EPOCH is 0, but training needs at least 1"),
        (["OPTIM.MAX_EPOCH", "-3"], "OPTIM.MAX_EPOCH is -3"),
        (["--seed", str(2**70)], "--seed"),
        (["--source-domains", "a", "DATASET.SUBSAMPLE_CLASSES", "base"], "DATASET.SUBSAMPLE_CLASSES stands among"),
        (["--transforms", "random_flip", "SEED", "1"], "SEED stands among the words of --transforms"),
        (["TEST.FINAL_MODEL", "best"], "do you mean best_val"),
        (["DATASET.NOISE.RATE", "0.5"], "NOISE.TYPE does not say what noise"),
        (["DATASET.NOISE.TYPE", "sym_other"], "NOISE.RATE is not given"),
        (["DATASET.NOISE_TYPE", "sym"], "NOISE.RATE is not given"),
        (["DATASET.NOISE.MANIFEST", "x.json", "DATASET.NOISE.RATE", "0.5"], "leave DATASET.NOISE.TYPE"),
        (["DATASET.NOISE.VAL", "True"], "there is no noise"),
        (["DATASET.NOISE.TYPE", "idn", "DATASET.NOISE.RATE", "0.5", "DATASET.NOISE_LABEL", "False"], "NOISE_LABEL"),
        (["DATASET.NUM_FP", "2", "DATASET.NUM_SHOTS", "2"], "of which some must be right"),
        (["DATASET.NUM_FP", "2", "DATASET.NUM_SHOTS", "4", "DATASET.NOISE_RATE", "0.5"], "both say how many"),
    ],
)
def test_what_keys_must_say_together(words, says):
    with pytest.raises(InputError, match=says):
        config(*words)


def test_what_still_goes_on():
    assert config("--no-train", "OPTIM.MAX_EPOCH", "0").OPTIM.MAX_EPOCH == 0
    assert config("--eval-only", "OPTIM.MAX_EPOCH", "-3").OPTIM.MAX_EPOCH == -3
    assert config("DATASET.NOISE.TYPE", "sym_other", "DATASET.NOISE.RATE", "0").DATASET.NOISE.TYPE == "sym_other"
    assert config("DATASET.NOISE_RATE", "0.5").DATASET.NOISE.TYPE == "sym_other"
    assert config("DATASET.NUM_FP", "2", "DATASET.NUM_SHOTS", "4").DATASET.NOISE.RATE == 0.5
    assert config("TRAINER.COOP.CTX_INIT", "None").TRAINER.COOP.CTX_INIT == ""
    assert config("--source-domains", "2024", "--eval-only").DATASET.SOURCE_DOMAINS == ("2024",)
