"""Writes the results of an evaluation: results.json, outputs.npz with every image, and a table in the log."""

from __future__ import annotations

import logging
import sys
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from yacs.config import CfgNode

from attacks import AttackSettings
from attacks.settings import fraction
from dassl.metrics.calibration import ece as calibration_error
from dassl.outputs.kept import write_outputs
from dassl.outputs.reading import read_outputs
from dassl.outputs.scores import all_scores
from dassl.utils import write_json
from dassl.utils.counted import counted
from runs.about import about_run
from runs.folder import RunFolder
from runs.named_files import named_files
from runs.record import git_revision, versions
from runs.robust_protocol import MODES
from runs.settings import settings_hash
from runs.tested_model import weights_hash

from .checks import Check, label
from .evaluate import Answers, Attacked, share

logger = logging.getLogger(__name__)

WORST = "worst case"  # of all attacks on an image, the transfer attack included


@dataclass
class Evaluation:
    """The results of an evaluation on N test images. `mode`: T, W or A.

    ordinary, clean: answers for the clean images from the test loader, and for the same as 8-bit pictures. undefended:
    answers of a test-time method before tuning, else None. adversarial: the transfer set. transfer, own: results of the
    attack on frozen CLIP, and on the method itself (None in mode T).
    """

    cfg: CfgNode
    mode: str
    settings: AttackSettings
    keys: list[str]
    label: Tensor
    ordinary: Answers
    clean: Answers
    adversarial: object
    transfer: Attacked | None = None
    own: Attacked | None = None
    undefended: Answers | None = None
    columns: dict[str, Tensor] = field(default_factory=dict)  # `image_outputs` of the clean pictures
    classnames: list[str] = field(default_factory=list)
    eot: dict = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    images_per_second: float = 0.0
    attack_seconds: float = 0.0
    gflop: float = 0.0
    facts: dict = field(default_factory=dict)  # backbone, device, precision, as in the results of a test

    def attacked(self) -> dict[str, Attacked]:
        """{name of the mode: result of its attack}."""
        found = {MODES["T"]: self.transfer}
        return found | ({MODES[self.mode]: self.own} if self.own else {})

    def survived(self) -> Tensor:
        """[N]: whether the clean picture and those of every attack are classified correctly."""
        return torch.stack([a.survived for a in self.attacked().values()]).all(dim=0)

    def figures(self) -> dict[str, dict]:
        """{clean, transfer, white-box, adaptive, worst case: accuracy with interval, ECE}, in percent.

        `survived` is the share of all images that are correct on the clean picture and under the attack.
        """
        found = {"clean": share(self.clean.right(self.label)) | {"ece": ece(self.clean, self.label)}}
        for name, a in self.attacked().items():
            found[name] = share(a.answers.right(a.label)) | {
                "survived": share(a.survived), "ece": ece(a.answers, a.label), "max_levels": a.max_levels,
                "parts": {part: {"attacked": n, "broke": a.broken_by.count(part)} for part, n in a.parts.items()},
            }  # fmt: skip
        return found | {WORST: share(self.survived())}


def ece(answers: Answers, label: Tensor) -> float:
    """Expected calibration error in percent, 20 bins."""
    return 100.0 * calibration_error(answers.confidence.numpy(), answers.right(label).numpy(), 20)


def record(e: Evaluation, found: dict, args: Namespace, kept: dict) -> dict:
    """The content of results.json, as plain values. found: the run's settings; kept: from `keep`."""
    cfg, adversarial = e.cfg, e.adversarial
    eps = fraction(e.settings.eps)
    tta = cfg.TRAINER.get("TTA", {})
    adapts = e.undefended is not None
    return {
        "version": 1,
        "kind": "evaluation under attack",
        **about_run(args),
        "trainer": cfg.TRAINER.NAME,
        "dataset": cfg.DATASET.NAME,
        "subsample_classes": cfg.DATASET.SUBSAMPLE_CLASSES,
        "seed": cfg.SEED,
        "mode": MODES[e.mode],
        "attack": e.settings.title,
        "eps": eps,
        "parameters": e.settings.parameters(),
        "expectation": e.eot or None,
        "model_dir": args.model_dir or None,
        "model_sha256": weights_hash(args.model_dir, args.load_epoch),
        "images": len(e.label),
        "clean_accuracy_ordinary_path": share(e.ordinary.right(e.label)),
        "figures": e.figures(),
        **kept,
        "before_tuning": {"clean": share(e.undefended.right(e.label))} if adapts else None,
        "frozen_clip": adversarial.totals,
        "set": {"key": adversarial.key, "folder": str(adversarial.folder)},
        "label": label(e.flags),
        "flags": e.flags,
        "checks": [check.plain() for check in e.checks],
        "failed_checks": [check.code for check in e.checks if check.passed is False],
        "images_per_second": round(e.images_per_second, 3),
        "attack_seconds": round(e.attack_seconds, 3),
        "gflop_per_image": round(e.gflop, 4),
        "compat": tta.get("COMPAT", "none") if adapts else "none",
        "template": cfg.ATTACK.PROMPT,
        **e.facts,
        "files": named_files(found),
        "settings_hash": settings_hash(found),
        "versions": versions(),
        "git": git_revision(),
        "command": sys.argv,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def write(e: Evaluation, folder: RunFolder, args: Namespace) -> None:
    """Write outputs.npz, log the table, and last write results.json, which marks the evaluation as finished."""
    kept = keep(e, folder.path / "outputs.npz")
    logger.info("\n%s", text(e))
    write_json(record(e, folder.settings, args, kept), folder.results)


def keep(e: Evaluation, file: Path) -> dict:
    """Write every image's answers: on the clean picture, through the test loader (ordinary), before tuning, and under
    each attack, with whether it survived and what broke it. Returns what results.json says of it."""
    arrays: dict[str, np.ndarray] = {
        "label": e.label.numpy().astype(np.int32),
        **{name: column.numpy() for name, column in e.columns.items()},
        **_columns("", e.clean), **_columns("ordinary.", e.ordinary),
        **({} if e.undefended is None else _columns("before.", e.undefended)),
    }  # fmt: skip
    for name, a in e.attacked().items():
        arrays |= _columns(f"{name}.", a.answers)
        arrays |= {f"{name}.survived": a.survived.numpy(), f"{name}.broken_by": np.array(a.broken_by, dtype=str)}
    arrays["survived"] = e.survived().numpy()
    form = "logits" if "relative_logits" in e.columns else "top5" if e.columns else "none"
    about = {
        "trainer": e.cfg.TRAINER.NAME, "dataset": e.cfg.DATASET.NAME, "seed": e.cfg.SEED, "split": e.cfg.TEST.SPLIT,
        "subsample_classes": e.cfg.DATASET.SUBSAMPLE_CLASSES, "form": form, "answer": "clean",
    }  # fmt: skip
    digest = write_outputs(file, arrays, e.classnames, e.keys, about)
    found = dict(all_scores(read_outputs(file)))
    own = found.pop("")
    return {"outputs": {"file": file.name, "sha256": digest, "form": form}, "scores": own, "other_scores": found}


def _columns(prefix: str, answers: Answers) -> dict[str, np.ndarray]:
    return {f"{prefix}prediction": answers.pred.int().numpy(), f"{prefix}confidence": answers.confidence.numpy()}


def text(e: Evaluation) -> str:
    """The table for the log: accuracies with intervals, the checks, the flags."""
    rows = []
    for name, figure in e.figures().items():
        low, high = figure["interval"]
        error = f"{figure['ece']:.1f}" if "ece" in figure else ""
        rows.append([name, f"{figure['accuracy']:.1f}", f"{low:.1f} .. {high:.1f}", error])
    images = counted(len(e.label), "image")
    head = f"{e.cfg.TRAINER.NAME} on {e.cfg.DATASET.NAME}, {images}, {e.settings.title}, {label(e.flags)}"
    table = tabulate(rows, ["pictures", "accuracy, %", "95 % interval", "ECE, %"], disable_numparse=True)
    listed = tabulate([[c.code, c.name, c.verdict, c.detail] for c in e.checks], tablefmt="plain")
    flags = f"flags: {', '.join(e.flags) or 'none'}; {e.images_per_second:.1f} images/s, {e.gflop:.2f} GFLOP an image"
    return f"{head}\n\n{table}\n\n{listed}\n\n{flags}"
