"""Finished runs of a study, as its suite has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from processes import Fork, fork_workers
from result_files import write_result

from bench.reading.layout import names_of_configs
from bench.running import local, pool
from bench.running.state import expected_hash
from bench.studies import door
from bench.suites.step import Step
from bench.suites.suite import Suite
from runs.config_names import UNTRAINED

HALVES = {"base2new_train": "base", "base2new_test": "new"}


def suite_of(study: door.Study, *words: str, output: Path | str = "out") -> Suite:
    return door.suite_from(study, door.parse(study, ["--output", str(output), *words]))[0]


def noise_of(step: Step) -> tuple[str, float]:
    """Type and rate of a run of label noise."""
    return step.settings.pairs[0], float(step.settings.pairs[1])


def finish(suite: Suite, accuracy: Callable[[Step], float], labels: Callable[[Step], str] = lambda step: "") -> None:
    """Writes a results.json for every step. labels: the hash of the wrong labels; default: by type, rate, seed."""
    for run in suite.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            more: dict = {"subsample_classes": HALVES.get(step.protocol, "all")}
            if step.protocol in ("noise_train", "noise_xd_train") and step.method not in UNTRAINED:
                kind, rate = noise_of(step)
                if rate:
                    more["noise"] = {"type": kind, "rate": rate, "sha256": labels(step) or f"{kind}{rate}{step.seed}"}
            if folder != run.folders[0] and run.method not in UNTRAINED:
                more["model_dir"] = str(run.folders[0])
            name = names_of_configs()[step.dataset]
            write_result(folder, step.method, name, step.seed, accuracy(step), **more)


def with_settings(suite: Suite) -> None:
    """Gives the results of `finish` the hash of the settings that the suite asks for: its runs are done."""
    for run in suite.runs:
        for step, folder in enumerate(run.folders):
            record = json.loads((folder / "results.json").read_text())
            (folder / "results.json").write_text(
                json.dumps(record | {"settings_hash": expected_hash(run, step, record)})
            )


def run_study(study: door.Study, words: list[str]) -> tuple[int, str]:
    """The study's command as a process of its own, a fork of this one: (exit code, what it printed)."""

    def command() -> int:
        fork_workers(pool)
        local.threads_each = lambda workers: 1  # more of them on a busy machine wait for each other
        torch.set_num_threads(1)
        return door.main(study, words)

    process = Fork(command, keep=True)
    text = process.text()
    return process.returncode, text
