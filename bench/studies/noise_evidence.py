"""Reads the curves of a run under label noise, and applies its trained prompts to its training list and test set."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import InputError as BackboneInputError
from dassl.data.data_manager import build_data_loader
from dassl.data.datasets import build_dataset
from dassl.data.transforms import build_transform
from dassl.utils import CheckError, InputError, input_error_sentence
from dassl.utils.errors import unreadable
from datasets.noise.names import spoken
from runs.predictor import load_predictor
from runs.protocols import UNTRAINED
from runs.trained_run import read_run

from ..drawing.training_curves import Curves, read_curves
from ..reading.files import DAMAGE, damaged, read_json, read_record

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase
    from dassl.protocols import Trainer

NO_MEMORISATION = "no memorisation curves: it has no curves.json"
HANDLED = (InputError, BackboneInputError, CheckError, OSError)


@dataclass
class Judgement:
    """Losses and scores of the N training items whose true label is known.

    wrong: [N] bool, whether the label is wrong. loss: [N], -log p of the observed label under the trained prompts.
    score: [N], the method's own, higher for labels that are more likely right. flagged: [N] bool, taken for wrong by
    the method in its last epoch. score and flagged are None for a method that does not judge labels.
    """

    wrong: Tensor
    loss: Tensor
    score: Tensor | None = None
    flagged: Tensor | None = None


@dataclass
class Evidence:
    """The data of one run. A field is None if it could not be read; `notes` has a sentence with the reason for each."""

    folder: Path
    method: str
    seed: int
    setting: str  # dataset and noise; runs with the same setting are in one panel
    classnames: list[str]
    settings: dict = field(default_factory=dict)  # settings that identify the run, see runs/folder.py
    curves: Curves | None = None
    confusion: Tensor | None = None  # [C, C] counts on the test set, a row a true class
    text: dict[str, Tensor] = field(default_factory=dict)  # {polarity or "": [C, d]}
    judgement: Judgement | None = None
    notes: list[str] = field(default_factory=list)


def read_curves_alone(folder: str | Path) -> Evidence:
    """What needs no model: the curves, also of a run that was packed. Raises InputError if it is no finished run's."""
    folder = Path(folder)
    record, setting = _setting(folder)
    settings: dict = {}
    with suppress(OSError, ValueError, RecursionError), (folder / "config.yaml").open(encoding="utf-8") as stream:
        settings = json.loads(stream.readline().removeprefix("# settings: "))
    names = list(map(str, record.get("classnames") or []))
    found = Evidence(folder, str(record["trainer"]), record["seed"], setting, names, settings)
    if found.method not in UNTRAINED:
        try:
            found.curves = read_curves(folder, int(settings.get("OPTIM.MAX_EPOCH", 0)))
        except HANDLED as error:
            found.notes.append(f"{folder}: no training curves: {input_error_sentence(error)}")
        if found.curves and not found.curves.accuracy:
            found.notes.append(f"{folder}: {NO_MEMORISATION}")
    return found


def _setting(folder: Path) -> tuple[dict, str]:
    """(results.json; dataset and noise in words). Raises InputError for the folder of no finished run."""
    try:
        record = read_record(folder / "results.json")
        noise = record["noise"]
        kind = f"{spoken(noise['type'])} {100 * noise['rate']:g}%" if noise and noise["rate"] else "clean"
        kind = "real noise" if noise and noise["rate"] is None else kind
        return record, f"{record['dataset']}, {kind}"
    except DAMAGE as error:
        if os.path.lexists(folder / "results.json") and unreadable(error):
            raise damaged(folder / "results.json", error) from error
        raise InputError(f"{folder} has no readable results.json ({type(error).__name__}); finish the run.") from error


def read_evidence(folder: str | Path, root: str = "") -> Evidence:
    """Read a finished run's folder. root: folder of the datasets, if they have moved.

    Raises InputError if the folder is no finished run's, or its model cannot be loaded.
    """
    folder = Path(folder)
    run = read_run(folder)
    record, setting = _setting(folder)
    noise, seed = record["noise"], record["seed"]
    predictor = load_predictor(folder)
    trainer = predictor.trainer
    found = Evidence(folder, run.cfg.TRAINER.NAME, seed, setting, predictor.classnames, run.settings)
    predictor.cfg.DATASET.ROOT = root or predictor.cfg.DATASET.ROOT

    def attempt(what: str, read) -> None:
        try:
            read()
        except HANDLED as error:
            found.notes.append(f"{folder}: no {what}: {input_error_sentence(error)}")

    def text() -> None:
        found.text = text_features(trainer)

    def curves() -> None:
        if found.method not in UNTRAINED:
            found.curves = read_curves(folder, predictor.cfg.OPTIM.MAX_EPOCH)
            if not found.curves.accuracy:
                found.notes.append(f"{folder}: {NO_MEMORISATION}")

    attempt("training curves", curves)
    attempt("text map", text)
    try:
        data = build_dataset(predictor.cfg)
    except HANDLED as error:
        found.notes.append(f"{folder}: no confusion matrix and no ROC: {input_error_sentence(error)}")
        return found

    def confusion() -> None:
        found.confusion = saved_confusion(folder, len(found.classnames))
        if found.confusion is None:
            found.confusion = confusion_matrix(test_logits(trainer, data.test), data.test)

    def judgement() -> None:
        found.judgement = read_judgement(folder, noise, data, trainer)

    attempt("confusion matrix", confusion)
    attempt("ROC", judgement)
    return found


@torch.no_grad()
def text_features(trainer: Trainer) -> dict[str, Tensor]:
    """Learned text features: {"": [C, d]}, or {"positive": [C, d], "negative": [C, d]} of a method with both.

    Raises InputError for a method without one feature for each class (they depend on the image).
    """
    if hasattr(trainer, "encode_both"):
        return dict(zip(("positive", "negative"), (z.float().cpu() for z in trainer.encode_both()), strict=True))
    try:
        if not hasattr(trainer, "encode_text"):
            raise NotImplementedError
        return {"": trainer.encode_text().float().cpu()}
    except NotImplementedError:
        raise InputError(f"the text features of {type(trainer).__name__} are not one for each class") from None


@torch.no_grad()
def test_logits(trainer: Trainer, items: Sequence) -> Tensor:
    """Logits [N, C] of the items under the test transform; image features of a frozen tower come from the bank."""
    cfg = trainer.cfg
    batch_size = cfg.DATALOADER.TEST.BATCH_SIZE
    transform = build_transform(cfg, is_train=False)
    loader = build_data_loader(cfg, data_source=items, batch_size=batch_size, tfm=transform, is_train=False)
    if getattr(trainer, "frozen_image_encoder", False) and cfg.TEST.FEATURE_BANK:
        loader = trainer.banked(loader)
    trainer.set_model_mode("eval")
    with trainer.test_draws():
        return torch.cat([trainer.model_inference(trainer.parse_batch_test(b)[0]).float().cpu() for b in loader])


def saved_confusion(folder: Path, classes: int) -> Tensor | None:
    """Counts [C, C] from confusion.json, which the run's test wrote; None without that file."""
    file = folder / "confusion.json"
    if not os.path.isfile(file):
        return None
    try:
        counts = torch.tensor(read_json(file)["counts"])
    except (*DAMAGE, RuntimeError) as error:
        raise InputError(f"{file} holds no confusion matrix ({type(error).__name__}: {error})") from error
    if counts.shape != (classes, classes) or not counts.sum():
        raise InputError(f"{file} is not about the run's {classes} classes")
    return counts


def confusion_matrix(logits: Tensor, items: Sequence) -> Tensor:
    """[C, C] counts: true class by predicted class."""
    classes = logits.shape[1]
    true = torch.tensor([item.label for item in items])
    return torch.bincount(true * classes + logits.argmax(1), minlength=classes**2).view(classes, classes)


def read_judgement(folder: Path, noise: dict | None, data: DatasetBase, trainer: Trainer) -> Judgement:
    """Losses and scores of a run's training items. Raises InputError if no label is known to be wrong, or the training
    list is not the run's."""
    items = data.train_x
    true = torch.tensor([getattr(item, "gttarget", -1) for item in items])
    observed = torch.tensor([item.label for item in items])
    wrong, known = true != observed, true >= 0
    if noise and noise["sha256"] != getattr(data, "noise", {}).get("sha256"):
        raise InputError("the training list that its config makes here has another hash than the run's own")
    if not (wrong & known).any() or not (~wrong & known).any():
        raise InputError("it needs labels that are known to be wrong and labels that are known to be right")
    logits = test_logits(trainer, items)
    loss = F.cross_entropy(logits, observed, reduction="none")
    score, flagged = read_decisions(folder / "decisions.json", len(items))
    return Judgement(*(None if x is None else x[known] for x in (wrong, loss, score, flagged)))


def read_decisions(file: Path, count: int) -> tuple[Tensor | None, Tensor | None]:
    """The method's own score, and which items it took for wrong, [N] each; None without a file of decisions."""
    if not os.path.isfile(file):
        return None, None
    try:
        found = read_json(file)
        score, clean = torch.tensor(found["score"], dtype=torch.float64), torch.tensor(found["clean"]).bool()
    except (*DAMAGE, RuntimeError) as error:
        raise InputError(f"{file} holds no decisions ({type(error).__name__}: {error})") from error
    if not len(score) == len(clean) == count:
        raise InputError(f"{file} is about {len(score)} items, and the training list has {count}")
    return score, ~clean


def tell_apart(found: Iterable[Evidence]) -> None:
    """Add the differing settings to the names of runs of one method and setting that differ in more than the seed."""
    rivals: dict[tuple[str, str], list[Evidence]] = defaultdict(list)
    for each in found:
        rivals[each.method, each.setting].append(each)
    for runs in rivals.values():
        keys = sorted({key for run in runs for key in run.settings if not key.startswith(("DATASET.", "SEED"))})
        texts = {key: [json.dumps(run.settings.get(key)) for run in runs] for key in keys}
        differing = [key for key, values in texts.items() if len(set(values)) > 1]
        for i, run in enumerate(runs):
            words = [f"{key.rpartition('.')[2]} {texts[key][i]}".replace('"', "") for key in differing[:3]]
            run.method += f" ({', '.join(words)})" if words else ""


def grouped(found: Iterable[Evidence], by_method: bool = True) -> dict[tuple[str, ...], list[Evidence]]:
    """{(setting, method): its runs, one for each seed}, or {(setting,): ...}, in the order of the command line."""
    groups: dict[tuple[str, ...], list[Evidence]] = defaultdict(list)
    for each in found:
        groups[(each.setting, each.method) if by_method else (each.setting,)].append(each)
    return dict(groups)
