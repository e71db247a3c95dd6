"""Merging of config files and pairs, and what identifies a run."""

from __future__ import annotations

import pytest

import train
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from runs.settings import settings, settings_hash
from runs.silent_keys import LATER


def config(*words: str):
    args = train.build_parser().parse_args([*words])
    return train.setup_cfg(args), args


def test_order_of_the_sources(tmp_path):
    data, method = tmp_path / "data.yaml", tmp_path / "method.yaml"
    data.write_text("DATASET:\n  NAME: Tiny\nOPTIM:\n  LR: 0.1\n")
    method.write_text("OPTIM:\n  LR: 0.2\n  MAX_EPOCH: 7\nMODEL:\n  BACKBONE:\n    NAME: RN50\n")
    files = ["--dataset-config-file", str(data), "--config-file", str(method), "--trainer", "CoOp"]
    cfg, _ = config(*files, "--backbone", "RN101", "OPTIM.MAX_EPOCH", "9")
    assert (cfg.OPTIM.LR, cfg.OPTIM.MAX_EPOCH, cfg.MODEL.BACKBONE.NAME) == (0.2, 9, "RN101")
    assert cfg.is_frozen()


def test_seed_zero_counts():
    assert config("--seed", "0")[0].SEED == 0


@pytest.mark.parametrize(("text", "says"), [("OPTIM:\n  LRR: 1\n", "OPTIM.LRR"), ("- 1\n", "list"), ("a: [\n", "YAML")])
def test_broken_yaml(tmp_path, text, says):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        config("--config-file", str(file))


def test_odd_pairs():
    with pytest.raises(InputError, match="no value"):
        config("OPTIM.LR")


def test_a_run_is_identified_by_what_changes_its_numbers():
    def identity(*words: str) -> str:
        return settings_hash(settings(*config("--trainer", "CoOp", *words)))

    plain = identity()
    assert identity("OUTPUT_DIR", "elsewhere", "DATALOADER.NUM_WORKERS", "0") == plain
    assert identity("TRAINER.ANPROMPT.EPS", "0.5") == plain  # another method's key
    assert identity("TRAINER.COOP.N_CTX", "4") != plain
    assert identity("--seed", "2") != plain
    assert identity("--eval-only", "--model-dir", "x") != plain


# `settings_hash` of runs on digits by embedded.yaml, as the first version wrote it into results.json.
FIRST = {
    "CoOp": "58ea902078798874", "NLPrompt": "c3599728ab7aace4", "JoAPR": "3642d086df5c1a15",
    "ANPrompt": "86eda85c79f4065a", "TTC": "9f63488b7256db34", "CoPrompt": "bc4a6648d4962585",
}  # fmt: skip


@pytest.mark.parametrize("method", FIRST)
def test_runs_of_older_versions_are_still_themselves(method):
    """A key that came later is part of what a run is only where it is set."""
    files = ["--config-file", f"configs/trainers/{method}/embedded.yaml"]
    files += ["--dataset-config-file", "configs/datasets/digits.yaml"]
    given = ["--seed", "1", "--trainer", method, *files]
    assert settings_hash(settings(*config(*given))) == FIRST[method]
    defaults = getattr(TRAINER_REGISTRY.get(method), "config_defaults", {})
    other = {"none": "released", "refuse": "truncate", "original": "own", "own": "ttc"}
    for key in set(LATER) & set(defaults):
        assert defaults[key] == LATER[key]
        value = (
            "stand_in" if key == "LANGUAGE.MISSING" else "0.3" if key == "LANGUAGE.WRONG_RATE" else other[LATER[key]]
        )
        assert settings_hash(settings(*config(*given, key, value))) != FIRST[method], key


def test_every_shipped_config_loads():
    from pathlib import Path

    for file in sorted(Path("configs/trainers").glob("*/*.yaml")):
        cfg, _ = config("--config-file", str(file), "--trainer", file.parent.name)
        assert cfg.MODEL.BACKBONE.NAME, file
