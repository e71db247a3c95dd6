"""Accuracy, error, macro F1 and per-class results of a classifier."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from dassl.metrics.classification import macro_f1
from dassl.outputs.kept import KeptOutputs
from dassl.utils.errors import CheckError, InputError
from dassl.utils.files import atomic_path, mkdir_if_missing
from dassl.utils.finite import check_outputs

from .build import EVALUATOR_REGISTRY

logger = logging.getLogger(__name__)


class EvaluatorBase:
    """Interface: `reset`, `process` every batch, `evaluate` once."""

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg

    def reset(self) -> None:
        raise NotImplementedError

    def process(self, mo: Tensor, gt: Tensor) -> None:
        raise NotImplementedError

    def evaluate(self) -> OrderedDict:
        raise NotImplementedError


@EVALUATOR_REGISTRY.register()
class Classification(EvaluatorBase):
    """Accuracy, error rate and macro F1; after `evaluate()`, `self.results` has them unrounded, and per class.

    `outputs`: the model's outputs for each image since the last `reset()` (`KeptOutputs`); None with TEST.OUTPUTS none.
    """

    def __init__(self, cfg: CfgNode, lab2cname: dict[int, str] | None = None, **kwargs: object) -> None:
        super().__init__(cfg)
        self._lab2cname = lab2cname
        if cfg.TEST.PER_CLASS_RESULT and lab2cname is None:
            raise CheckError("TEST.PER_CLASS_RESULT needs the class names: build the evaluator with lab2cname")
        self.reset()

    def reset(self) -> None:
        self._correct = 0
        self._total = 0
        self._y_true: list[int] = []
        self._y_pred: list[int] = []
        per_class = self.cfg.TEST.PER_CLASS_RESULT
        self._per_class_res: defaultdict[int, list[int]] | None = defaultdict(list) if per_class else None
        self.results: dict = {}
        form = self.cfg.TEST.get("OUTPUTS", "none")
        self.outputs = None if form == "none" else KeptOutputs(form)

    def process(self, mo: Tensor, gt: Tensor) -> None:
        """Take in a batch: `mo` [B, C] model output, `gt` [B] labels. Raises DivergedError for an output of NaN."""
        best, pred = mo.max(1)
        check_outputs(best)
        pred = pred.cpu()
        gt = gt.cpu()
        matches = (pred == gt).int()
        self._correct += int(matches.sum())
        self._total += gt.shape[0]
        self._y_true.extend(gt.tolist())
        self._y_pred.extend(pred.tolist())
        if self.outputs is not None:
            self.outputs.add(mo, gt)
        if self._per_class_res is not None:
            for label, match in zip(gt.tolist(), matches.tolist(), strict=True):
                self._per_class_res[label].append(match)

    def evaluate(self) -> OrderedDict:
        """Percentages `accuracy`, `error_rate`, `macro_f1` (and `perclass_accuracy` if enabled), unrounded; logged."""
        if self._total == 0:
            raise InputError("nothing to evaluate: the evaluated split has no images")
        accuracy = 100.0 * self._correct / self._total
        results = OrderedDict(
            accuracy=accuracy,
            error_rate=100.0 - accuracy,
            macro_f1=macro_f1(np.asarray(self._y_true), np.asarray(self._y_pred)),
        )
        logger.info(
            "=> result\n"
            f"* total: {self._total:,}\n"
            f"* correct: {self._correct:,}\n"
            f"* accuracy: {accuracy:.1f}%\n"
            f"* error: {results['error_rate']:.1f}%\n"
            f"* macro_f1: {results['macro_f1']:.1f}%"
        )
        if self._per_class_res is not None:
            results["perclass_accuracy"] = self._log_per_class(self._per_class_res)
        if self.cfg.TEST.COMPUTE_CMAT:
            self._save_confusion_matrix()
        self.results = {
            "total": self._total,
            "correct": self._correct,
            **results,
            "predicted_classes": len(set(self._y_pred)),  # classes that were predicted at least once
            "per_class": self._per_class(),
        }
        return results

    def _per_class(self) -> dict[int, dict]:
        true, pred = np.asarray(self._y_true), np.asarray(self._y_pred)
        out = {}
        for label in np.unique(true).tolist():
            total = int((true == label).sum())
            correct = int(((true == label) & (pred == label)).sum())
            name = (self._lab2cname or {}).get(label, str(label))
            out[label] = {"name": name, "total": total, "correct": correct, "accuracy": 100.0 * correct / total}
        return out

    def _log_per_class(self, hits: Mapping[int, Sequence[int]]) -> float:
        names = self._lab2cname or {}
        lines, accuracies = ["=> per-class result"], []
        for label, matches in sorted(hits.items()):
            accuracies.append(100.0 * sum(matches) / len(matches))
            lines.append(
                f"* class: {label} ({names[label]})\ttotal: {len(matches):,}\t"
                f"correct: {sum(matches):,}\tacc: {accuracies[-1]:.1f}%"
            )
        mean = float(np.mean(accuracies))
        logger.info("\n".join([*lines, f"* average: {mean:.1f}%"]))
        return mean

    def _save_confusion_matrix(self) -> None:
        path = os.path.join(self.cfg.OUTPUT_DIR, "cmat.pt")
        mkdir_if_missing(self.cfg.OUTPUT_DIR)
        matrix = confusion_matrix(np.asarray(self._y_true), np.asarray(self._y_pred))
        with atomic_path(path) as temporary:
            # a tensor, not upstream's numpy array: torch.load reads it with its default settings
            torch.save(torch.from_numpy(matrix), temporary)
        logger.info("Confusion matrix is saved to %s", path)
        self._save_confusion_counts()

    def _save_confusion_counts(self) -> None:
        """confusion.json: `counts[true][predicted]` over all classes, one row per line, and the `classnames`."""
        names = self._lab2cname or {}
        size = 1 + max([*names, *self._y_true, *self._y_pred])
        counts = np.zeros((size, size), dtype=int)
        np.add.at(counts, (self._y_true, self._y_pred), 1)
        rows = ",\n".join(json.dumps(row) for row in counts.tolist())
        labels = json.dumps([names.get(label, str(label)) for label in range(size)])
        with atomic_path(os.path.join(self.cfg.OUTPUT_DIR, "confusion.json")) as temporary:
            Path(temporary).write_text(f'{{"classnames": {labels},\n"counts": [\n{rows}\n]}}\n', encoding="utf-8")


def confusion_matrix(true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """[n, n] shares of each true label (row) given each label (column), over all labels that occur, ascending."""
    labels = np.unique(np.concatenate([true, pred]))
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (np.searchsorted(labels, true), np.searchsorted(labels, pred)), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)
