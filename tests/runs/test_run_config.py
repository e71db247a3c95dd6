"""Merging of config files and pairs, and what identifies a run."""

from __future__ import annotations

import pytest

import train
from dassl.utils import InputError
from runs.settings import settings, settings_hash


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


def test_every_shipped_config_loads():
    from pathlib import Path

    for file in sorted(Path("configs/trainers").glob("*/*.yaml")):
        cfg, _ = config("--config-file", str(file), "--trainer", file.parent.name)
        assert cfg.MODEL.BACKBONE.NAME, file
