"""A trained run as a function from images to class probabilities.

from runs.predictor import load_predictor

p = load_predictor("output/base2new/train_base/digits/shots_16/CoOp/embedded/seed1")
p("cat.jpg")                        # [("zero", 0.93), ("six", 0.02), ...]
p.probabilities(["a.jpg", "b.jpg"]) # Tensor [2, C]
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dassl.config.shown import for_method, of_run, plain
from dassl.data.transforms import build_transform
from dassl.data.workers import usable_workers
from dassl.engine import TRAINER_REGISTRY, SimpleTrainer
from dassl.utils import InputError, read_image, to_rgb
from dassl.utils.images import set_upright
from dassl.utils.progress import progress
from interop.plugins.hosting import hosted
from language import clean, read_classlist
from trainers.shared.precision import autocast

from .class_list import ClassList
from .trained_run import ClassNames, TrainedRun, read_run

logger = logging.getLogger(__name__)

ImageLike = str | Path | Image
SCORES = ("softmax", "sigmoid")


def load_predictor(
    model_dir: str | Path,
    classes: Sequence[str] | str | None = None,
    load_epoch: int | None = None,
    backbone_path: str = "",
    backbone_spec: str = "",
    score: str = "softmax",
) -> Predictor:
    """Load the trained model of a run's folder (the --output-dir of a train.py run). The dataset is not needed.

    classes: the names to choose from, or a text file with one per line; default: the classes of the run.
    load_epoch: epoch of the checkpoint; default: the one that the run itself was tested with.
    backbone_path: a CLIP file in place of the one that the run's config names. backbone_spec: its MODEL.BACKBONE.SPEC.
    score: "softmax", probabilities that add up to 1 over the classes; or "sigmoid", of each class by itself, as SigLIP
    was trained: sigmoid(logit + logit bias of the backbone).

    Raises InputError when the folder, a name or the checkpoint cannot be used.
    """
    run = read_run(model_dir)
    found = run.classnames()
    own = found.names
    classes = read_classlist(classes) if isinstance(classes, str) else classes
    names = own if classes is None else [str(name).strip() for name in classes]
    if not names or not all(names):
        said = "does not say its class names" if classes is None else "cannot tell images apart by no or empty names"
        raise InputError(f"{model_dir} {said}; give class names (--classes, one per line).")
    if classes is None and found.contradiction:
        raise InputError(f"{found.contradiction}; restore the file, or give class names (--classes, one per line).")
    _say_doubts(found, names, model_dir)
    cfg = run.cfg
    if not set(map(clean, names)) <= set(map(clean, own or names)):
        # Some methods treat new classes differently; names that the run was not trained on are new.
        cfg.TASK, cfg.DATASET.SUBSAMPLE_CLASSES = "B2N", "new"
    if backbone_path:
        cfg.MODEL.BACKBONE.PATH = str(backbone_path)
    if backbone_spec:
        cfg.MODEL.BACKBONE.SPEC = backbone_spec
    cfg.VERBOSE, cfg.MODEL.INIT_WEIGHTS = False, ""
    with hosted(cfg, quiet=True, model_dir=str(model_dir)):
        trainer = _build(run, names)
        if hasattr(trainer, "method_cfg") and trainer.method_cfg().get("CSC") and names != own:
            raise InputError(f"{model_dir} learned a context for each of its own classes (CSC); leave --classes out.")
        models, epoch = trainer.get_model_names(), None
        if models:
            folder, epoch = run.weights(models, load_epoch)
            trainer.load_model(folder, epoch=epoch)
        trainer.set_model_mode("eval")
    return Predictor(trainer, names, epoch, _bias(trainer, score))


def _say_doubts(found: ClassNames, names: Sequence[str], model_dir: str | Path) -> None:
    """Log warnings on the origin of the class names, and on names that give the same prompt."""
    for text in filter(None, (found.remark, found.contradiction)):
        logger.warning("Warning: %s", text)
    if not found.names:
        logger.warning("Warning: %s does not say its own classes; the given ones are taken for them", model_dir)
    count = Counter(map(clean, names))
    doubled = [name for name in count if count[name] > 1]
    if doubled:
        logger.warning(
            "Warning: %s named more than once; such classes have one prompt and share its probability",
            f"{', '.join(doubled[:5])}{', ...' if len(doubled) > 5 else ''} {'is' if len(doubled) == 1 else 'are'}",
        )


def _bias(trainer: Any, score: str) -> float | None:
    """The backbone's logit bias for "sigmoid", None for "softmax". Raises InputError for a backbone without one."""
    if score not in SCORES:
        raise InputError(f"score is {score!r}, but must be one of {', '.join(SCORES)}.")
    if score == "softmax":
        return None
    bias = getattr(getattr(trainer, "clip", None), "logit_bias", None)
    if bias is None:
        raise InputError(
            f"The backbone of this run ({trainer.cfg.MODEL.BACKBONE.NAME or trainer.cfg.MODEL.BACKBONE.PATH}) has no "
            "logit bias, which SigLIP's have: its logits compare classes and say nothing of one alone; take the score "
            "softmax."
        )
    return float(bias)


def _build(run: TrainedRun, names: list[str]) -> SimpleTrainer:
    """Build the run's trainer with a list of class names in place of its dataset."""
    kind = TRAINER_REGISTRY.get(run.cfg.TRAINER.NAME)

    def build_data_loader(self: Any) -> None:
        self.dm = dm = ClassList(names)
        self.train_loader_x = self.train_loader_u = self.val_loader = self.test_loader = None
        self.num_classes, self.lab2cname, self.num_source_domains = dm.num_classes, dm.lab2cname, 0

    on_names = type(kind.__name__, (kind,), {"build_data_loader": build_data_loader})  # the name is shown in messages
    if "LANGUAGE" in run.cfg:
        run.cfg.LANGUAGE.MISSING = "stand_in"
    return on_names(for_method(run.cfg))


class Predictor:
    """Classifies images as the run's own test does, with the same transform, batch size and logits.

    classnames: C names, the columns of `probabilities`. trainer: the built trainer. epoch: of the loaded checkpoint;
    None for a method without training, or for the best checkpoint on the validation split. bias: of the logits of a
    sigmoid; None for a softmax. Raises InputError for a run
    without a transform (INPUT.NO_TRANSFORM).
    """

    advice = "; --skip-bad goes on without such images"  # on an image that cannot be read

    def __init__(
        self, trainer: SimpleTrainer, classnames: list[str], epoch: int | None, bias: float | None = None
    ) -> None:
        self.trainer, self.classnames, self.epoch, self.bias = trainer, classnames, epoch, bias
        self.cfg = of_run(trainer.cfg)
        set_upright(plain(self.cfg.DATASET.NAME) == "Folder" and self.cfg.DATASET.FOLDER.EXIF)  # as the run read them
        transform = build_transform(self.cfg, is_train=False)
        if transform is None:
            raise InputError("The run has INPUT.NO_TRANSFORM True, but a model reads tensors, not pictures.")
        self.transform = transform

    def __call__(
        self, images: ImageLike | Sequence[ImageLike], top: int = 5
    ) -> list[tuple[str, float]] | list[list[tuple[str, float]]]:
        """The `top` most likely classes with their probabilities, best first; for a list of images a list of these.

        An image is a path or a PIL image. Raises InputError for an image that cannot be read.
        """
        if isinstance(images, (str, Path, Image)):
            return self._ranked([images], top)[0]
        return self._ranked(images, top)

    def _ranked(self, images: Sequence[ImageLike], top: int) -> list[list[tuple[str, float]]]:
        return [best for _, found in self.batches(images) for best in self.best(found, top)]

    def probabilities(self, images: ImageLike | Sequence[ImageLike]) -> Tensor:
        """[N, C] fp32 on the CPU: the softmax of the test logits of N images, or the sigmoid with the bias."""
        images = [images] if isinstance(images, (str, Path, Image)) else images
        found = [probabilities for _, probabilities in self.batches(images)]
        return torch.cat(found) if found else torch.empty(0, len(self.classnames))

    def best(self, probabilities: Tensor, top: int) -> list[list[tuple[str, float]]]:
        """The `top` (name, probability) of each row of [N, C], best first."""
        values, classes = probabilities.topk(min(top, len(self.classnames)), dim=1)
        return [
            [(self.classnames[c], p) for c, p in zip(row_c, row_p, strict=True)]
            for row_c, row_p in zip(classes.tolist(), values.tolist(), strict=True)
        ]

    @torch.no_grad()
    def batches(self, images: Sequence[ImageLike], skip_bad: bool = False) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (indices of a batch's images, their probabilities [B, C]) for each batch.

        skip_bad: leave out an image that cannot be read, with a warning; if False, raise InputError.
        """
        for index, logits in self.logits(images, skip_bad):
            yield index, logits.softmax(dim=1) if self.bias is None else (logits + self.bias).sigmoid()

    @torch.no_grad()
    def logits(self, images: Sequence[ImageLike], skip_bad: bool = False) -> Iterator[tuple[list[int], Tensor]]:
        """As `batches`, but with the logits [B, C], fp32 on the CPU."""
        for index, logits in self._answers(images, self.trainer.model_inference, skip_bad):
            wrong = ~logits.softmax(dim=1).isfinite().all(dim=1)
            if wrong.any():
                row = int(wrong.nonzero()[0])
                raise InputError(
                    f"The logits of {_name(images[index[row]])} are not finite numbers: the run's weights "
                    "or its CLIP hold NaN or far too large values (a diverged run); take another checkpoint."
                )
            yield index, logits

    @torch.no_grad()
    def features(self, images: Sequence[ImageLike]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (indices of a batch's images, their features [B, d]), normalised, fp32 on the CPU, from the method's
        own image tower. Raises InputError for a plugin's method that has no `encode_image`."""
        trainer: Any = self.trainer
        if not hasattr(trainer, "encode_image"):
            raise InputError(f"{self.cfg.TRAINER.NAME} is a plugin without encode_image, so it has no features.")

        def encode(image: Tensor) -> Tensor:
            with autocast(trainer.precision, trainer.device, training=False):
                return trainer.encode_image(image)

        yield from self._answers(images, encode)

    def _answers(
        self, images: Sequence[ImageLike], answer: Callable[[Tensor], Tensor], skip_bad: bool = False
    ) -> Iterator[tuple[list[int], Tensor]]:
        """(indices, answer(images [B, 3, H, W]), fp32 on the CPU) for each batch."""
        loader = self._loader(images)
        for batch in progress(loader, desc="predict"):
            for sentence in batch["bad"]:
                if not skip_bad:
                    raise InputError(f"{sentence.rstrip('.')}{self.advice}.")
                logger.warning("Warning: %s; skipped", sentence)
            if batch["index"]:
                # Random draws of inference depend on the run's seed, not on earlier draws.
                with hosted(self.cfg, quiet=True), self.trainer.test_draws():
                    image, _ = self.trainer.parse_batch_test(batch)
                    found = answer(image)
                yield batch["index"], found.float().cpu()

    def _loader(self, images: Sequence[ImageLike]) -> DataLoader:
        part = self.cfg.DATALOADER
        return DataLoader(
            _Images(images, self.transform),
            batch_size=part.TEST.BATCH_SIZE,
            num_workers=usable_workers(part.NUM_WORKERS) if len(images) > part.TEST.BATCH_SIZE else 0,
            collate_fn=_collate,
            generator=torch.Generator(),  # of its own, so that the global generator does not change
        )


def _name(image: ImageLike) -> str:
    return "an image" if isinstance(image, Image) else str(image)


class _Images(Dataset):
    """A data set of (index, image tensor), or (index, error text) for an image that cannot be read."""

    def __init__(self, images: Sequence[ImageLike], transform: Callable[[Image], Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        image = self.images[index]
        try:
            return index, self.transform(to_rgb(image) if isinstance(image, Image) else read_image(str(image)))
        except (InputError, OSError) as error:  # OSError: PIL reads an opened image only when it is used
            return index, str(error)


def _collate(items: list[tuple[int, Tensor | str]]) -> dict:
    good = [(index, image) for index, image in items if isinstance(image, Tensor)]
    return {
        "index": [index for index, _ in good],
        "img": torch.stack([image for _, image in good]) if good else torch.empty(0),
        "label": torch.zeros(len(good), dtype=torch.long),  # unknown, but trainers expect labels
        "bad": [sentence for _, sentence in items if isinstance(sentence, str)],
    }
