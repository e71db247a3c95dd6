"""The suites that come with the project: each plans, holds what its table needs, and its commands are train.py's."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest
from yacs.config import CfgNode

import robustness.run
import train
from bench.comparing.published import FOLDER
from bench.running.launch import Step
from bench.suites.robust_step import RobustStep
from bench.suites.suite import read_suite
from runs.config_names import METHODS
from runs.settings import settings, settings_hash
from runs.targets import ELEVEN

SUITES = sorted((Path(__file__).resolve().parent.parent.parent / "configs" / "suites").glob("*.yaml"))
_seen: set[tuple] = set()  # over all suites


def test_the_suites_are_there():
    assert {file.stem for file in SUITES} == {
        "open_world", "card", "adversarial_base2new", "text_noise",
        "embedded", "base2new", "cross_dataset", "domain_generalization", "few_shot", "label_noise", "adversarial",
        "anprompt_tables", "dpsep_tables", "sar_tables", "descriptions", "demo", "generalization", "noise", "noise_xd",
        "attacks", "sar", "anprompt_ablation", "dpsep_ablation", "claims", "selection", "tta_vlm_online",
        "tta_vlm_episodic", "rtpt_tables", "apt_tables", "fap_tables", "ttc_tables", "streams",
        "near_chance", "diverged",
    }  # fmt: skip


@pytest.mark.parametrize("file", SUITES, ids=lambda f: f.stem)
def test_every_suite_plans_and_its_commands_parse(file, monkeypatch, long_tests):
    """One run of each (kind of step, method, config file) and of each (kind of step, dataset) goes through train.py's
    parser and setup_cfg, which find the settings that the plan has found without torch. With --long one of each kind of
    step, method, config file and dataset."""
    suite = read_suite(file)
    assert suite.name == file.stem and suite.runs and suite.slurm
    for run in suite.runs:
        for number, step in enumerate(run.job):
            argv = step.planned(run.epochs)
            options = ("--trainer", "--config-file", "--dataset-config-file")
            *method, dataset = (argv[argv.index(option) + 1] for option in options)
            new = {(step.protocol, *method), (step.protocol, dataset)} - _seen
            if long_tests:
                new = {(step.protocol, *method, dataset)} - _seen
            if not new:
                continue
            _seen.update(new)
            args = train.build_parser().parse_args(argv)
            trained = run.resolved[0].architecture  # in place of the checkpoint, which is not there yet
            monkeypatch.setattr("runs.registered.saved_architecture", lambda *_, trained=trained: trained)
            cfg, found = settings_of(step, args)
            assert step.method == cfg.TRAINER.NAME and run.folders[number] == Path(cfg.OUTPUT_DIR)
            assert run.resolved[number].hash(run.seed, found.get("model", "")) == settings_hash(found), argv


def settings_of(step: Step, args: Namespace) -> tuple[CfgNode, dict[str, object]]:
    """(config, settings) of the run that a step starts."""
    if not isinstance(step, RobustStep):
        cfg = train.setup_cfg(args)
        return cfg, settings(cfg, args)
    args.eval_only = True
    cfg, mode = robustness.run.setup(args)
    own = {"evaluation": step.mode, "checks": "basic", "check_images": 64}
    return cfg, settings(robustness.run.named(cfg, mode), args) | own


def counted(name: str, *what: str) -> Counter:
    """How many results each (block, method, ...) has."""
    (file,) = (each for each in SUITES if each.stem == name)
    found: Counter = Counter()
    for run in read_suite(file).runs:
        found[tuple(getattr(run, key) for key in ("block", *what))] += len(run.job)
    return found


def test_the_generalization_tables():
    found = counted("base2new", "method")
    assert found["base2new", "ZeroshotCLIP"] == 2 * 11 and len(found) == len(METHODS)
    assert all(found["base2new", m] == 2 * 11 * 3 for m in METHODS if m != "ZeroshotCLIP")
    assert counted("cross_dataset", "method")["cross_dataset", "CoOp"] == 3 * (1 + 10)
    assert counted("domain_generalization", "method")["domain_generalization", "CoOp"] == 3 * (1 + 4)
    assert counted("few_shot", "method")["few_shot", "TCP"] == 3 * 11 * 5


def test_anprompt():
    found = counted("anprompt_tables", "method", "variant")
    b2n = 2 * 11 * 3
    assert found["ANPrompt", "ANPrompt", ""] == found["base2new", "MMRL", ""] == b2n
    assert found["cross_dataset", "ANPrompt", ""] == 3 * (1 + 10 + 4)  # trained on ImageNet once for both tables
    assert found["domain_generalization", "MMRL", ""] == 3 * (1 + 4)
    rows = [variant for (block, _, variant) in found if block.startswith("ablation")]
    assert rows == ["000", "010", "001", "110", "011", "101"]
    assert [v for (b, _, v) in found if b == "prompt length"] == [f"N_TOKENS={t}" for t in (1, 2, 3, 4, 6)]
    assert [v for (b, _, v) in found if b == "text noise"] == ["ALPHA=0.01", "ALPHA=0.1", "ALPHA=1.0"]


@pytest.mark.parametrize("number", ["1", "2", "3"])
def test_every_row_of_anprompts_tables_has_runs(number):
    (table,) = (t for t in json.loads((FOLDER / "anprompt.json").read_text())["tables"] if t["table"] == number)
    column = table["columns"].index("method")
    ours = {table["methods"][cell[column]]["method"] for cell in table["cells"]}  # a row without one: KeyError
    (file,) = (each for each in SUITES if each.stem == "anprompt_tables")
    blocks = {"1": ["base2new", "ANPrompt"], "2": ["cross_dataset"], "3": ["cross_dataset", "domain_generalization"]}[
        number
    ]
    planned = {run.method for run in read_suite(file).runs if run.block in blocks}  # trained on ImageNet once for both
    assert planned >= ours and (number == "3" or planned == ours)


def test_sar():
    found = counted("sar_tables", "method", "variant")
    assert (
        found["hosts", "CoPromptSAR", ""]
        == found["CoOp", "CoOpSAR", ""]
        == found["four shots", "TCP", ""]
        == 2 * 11 * 3
    )
    assert found["domain_generalization", "MaPLeSAR", ""] == 3 * (1 + 4)
    assert {variant for (_, _, variant) in found} == {"", "single", "ensemble", "novel_50"}


def test_dpsep():
    found = counted("dpsep_tables", "method", "variant")
    assert found["noise", "DPSEP", ""] == found["noise", "PTNL", ""] == 6 * 9 * 3
    assert found["OxfordPets", "DPSEP", ""] == 9 * 3
    assert found["real_noise", "DPSEP", ""] == 3 * (2 + 1)
    assert found["noise_xd", "PTNL", ""] == 3 * 9 * (1 + 4)
    assert found["DP", "DPSEP", "DP"] == found["SEP", "DPSEP", "SEP"] == 15
    (file,) = (each for each in SUITES if each.stem == "dpsep_tables")
    assert {argv for run in read_suite(file).runs for argv in run.job[0].planned(1) if argv.endswith(".yaml")} >= {
        "configs/trainers/DPSEP/vit_b32.yaml", "configs/trainers/PTNL/vit_b32.yaml",
    }  # fmt: skip


def test_all_means_the_eleven():
    found = counted("base2new", "dataset")
    assert {dataset for _, dataset in found} == set(ELEVEN)
