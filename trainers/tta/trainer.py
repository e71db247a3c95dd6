"""Base of methods that adapt to each test image separately. Nothing is trained, and no state persists between images.

An image's features are computed once for each view; text features of the prompt that all images start from are
computed once per test.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from clipkit import InputError, TextEncoder, normalize
from dassl.protocols import SizedIterable
from dassl.utils import DivergedError, base_seed
from dassl.utils.progress import progress
from datasets.table_prompts import prompts

from ..base import PromptTrainer
from ..context import context_words, start_context
from ..shared.precision import autocast
from ..shared.tester import keep_others
from .config import DEFAULTS, DOMAINS, N, compat_keys
from .outputs import BeforeAfter
from .prototypes import mean_of_texts
from .start_context import context_from
from .view_features import ViewFeatures
from .views import ViewedImage, ViewMaker, full, groups, view_loader

logger = logging.getLogger(__name__)

SEES_PIXELS = ("respond", "answer", "encode_views", "raw_features")  # a method that overrides one of these needs pixels


class TestTimeTrainer(PromptTrainer):
    """Base of the methods that adapt at test time.

    A method gives `from_features(f)`: logits [B, C] of B images from the features [B, n, d] of their views, or
    `respond` where features are not enough. It keeps nothing from one image to the next, and B images together have the
    answers that each has alone.
    """

    __test__ = False  # for pytest
    node = "TRAINER.TTA"
    config_defaults = DEFAULTS
    config_domains = DOMAINS
    frozen_image_encoder = False  # no single feature stands for an image
    own = {"LOSS": "marginal", "ENSEMBLE": "none"}  # the values that `auto` stands for
    tunes = False  # whether something is tuned on each image
    tunes_context = False  # whether that is the context
    unread: tuple[str, ...] = ()  # keys of TRAINER.TTA that this method does not read
    starts_from = f"a context to start from is given as {N}CTX_FROM"  # what is said of a trained model
    counts: Counter[str] | None = None  # of the test that is running
    prompts_per_pass = 1024  # the most prompts in one text pass with gradient; further images go into another pass

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return compat_keys(cfg)

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if said := [N + key for key in self.unread if cfg.TRAINER.TTA[key] != DEFAULTS[N + key]]:
            logger.warning("Warning: %s has no effect on %s", ", ".join(said), cfg.TRAINER.NAME)
        if cfg.TRAINER.TTA.PROMPTS != "own" and self.tunes_context:
            raise InputError(
                f"{cfg.TRAINER.NAME} tunes the context of one prompt, so {N}PROMPTS cannot put others in its place; "
                f"leave it out and give the words as {N}CTX_INIT."
            )

    def choice(self, key: str) -> str:
        """TRAINER.TTA.<key>, `auto` replaced by the method's own."""
        value = self.method_cfg()[key]
        return self.own[key] if value == "auto" else value

    def n_views(self) -> int:
        return self.method_cfg().N_VIEWS

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        """Whether AUGMIX auto means on for the data set. Here, as in TPT and R-TPT: not for ImageNet and its
        variants."""
        return not dataset.startswith("ImageNet")

    # ------------------------------------------------------------------ building

    def build_views(self) -> None:
        """What makes the views of an image, and how their pixels are normalised."""
        self.views = ViewMaker(self.cfg, self.n_views(), self.mixes(self.cfg.DATASET.NAME))
        shape = (-1, 1, 1)
        normalised = "normalize" in self.cfg.INPUT.TRANSFORMS
        self.mean = torch.tensor(self.cfg.INPUT.PIXEL_MEAN if normalised else [0.0] * 3, device=self.device).view(shape)
        self.std = torch.tensor(self.cfg.INPUT.PIXEL_STD if normalised else [1.0] * 3, device=self.device).view(shape)

    def build_learner(self) -> None:
        """The context v0 that every image starts from, and the prompts around it. There is nothing to train."""
        cfg = self.method_cfg()
        self.build_views()
        words = context_words(cfg.CTX_INIT)
        given = None
        if cfg.CTX_FROM:
            backbone = self.run_identity()["backbone"]
            given, self.files.unstated = context_from(cfg.CTX_FROM, self.text_encoder, backbone)
        if given is None and not words:
            raise InputError(f"{self.node}.CTX_INIT is empty: give words such as 'a photo of a', or a CTX_FROM.")
        count = self.text_encoder.tokenizer.count(words) if given is None else len(given)
        self.prompts, start = start_context(self.clip, self.classnames, count, words if given is None else "")
        self.prompts.to(self.device)
        self.ctx0 = (start if given is None else given).to(self.device)
        self._dense = self._at_length(count, words if given is None else None) if cfg.TEXT_LEN else None
        self.record["test_time"] = {
            "views": self.views.n,
            "augmix": self.views.augmix,
            "template": self._template(words if given is None else ""),
            "loss": self.choice("LOSS") if self.tunes else None,
            "ensemble": self.choice("ENSEMBLE") if self.tunes else None,
            "tuned_numbers": self.ctx0.numel() if self.tunes else 0,
        }

    def _template(self, words: str) -> str:
        """What the record says of the prompt."""
        cfg = self.method_cfg()
        if cfg.PROMPTS != "own":
            return cfg.PROMPTS
        return f"{words} {{}}." if words else f"context of {cfg.CTX_FROM}"

    def _at_length(self, count: int, words: str | None):
        """Prompts padded to TEXT_LEN tokens, all of which are encoded. Raises InputError where a prompt is longer."""
        length, longest = self.method_cfg().TEXT_LEN, int(self.prompts.eot.max()) + 1
        if not longest <= length <= self.text_encoder.length:
            raise InputError(
                f"{self.node}.TEXT_LEN is {length}, but the longest prompt has {longest} tokens and the backbone reads "
                f"{self.text_encoder.length}; 0 takes as many as are needed."
            )
        made_with = {"ctx_text": words, "template": "{ctx} {name}.", "truncate": False}
        return type(self.prompts)(self.clip, self.classnames, count, **made_with).to(self.device)

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        if directory:
            name = self.cfg.TRAINER.NAME
            raise InputError(f"{name} has no trained model; {self.starts_from}.")

    # ------------------------------------------------------------------ text

    def encode_contexts(self, ctx: Tensor) -> Tensor:
        """t(v): [B, C, d] normalised text features under B contexts [B, M, width]."""
        with autocast(self.precision, self.device):
            if self._dense is None:
                t = self.text_encoder.encode(self.prompts.split(ctx[:, None]))
            else:
                dense = self._dense(ctx[:, None])[:, :, : self.method_cfg().TEXT_LEN]
                whole = TextEncoder(self.clip, truncate=False)
                t = whole(dense.flatten(0, 1), self._dense.eot.repeat(len(ctx))).view(*dense.shape[:2], -1)
        return normalize(full(t))

    def encode_text(self) -> Tensor:
        """t(v0): [C, d]; with PROMPTS the mean over that table's templates, normalised."""
        if self.method_cfg().PROMPTS == "own":
            return self.own_text()
        texts = prompts(self.method_cfg().PROMPTS, self.cfg.DATASET.NAME, self.classnames)
        return normalize(mean_of_texts(self.text_encoder, texts))

    def own_text(self) -> Tensor:
        """[C, d]: the classes' features where PROMPTS is `own`."""
        return self.encode_contexts(self.ctx0[None])[0]

    # ------------------------------------------------------------------ images

    def encode_views(self, views: Tensor) -> Tensor:
        """[B, n, 3, h, w] in [0, 1] -> normalised features [B, n, d]."""
        return normalize(self.raw_features(views.flatten(0, 1))).view(*views.shape[:2], -1)

    def raw_features(self, pixels: Tensor, tower: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """[N, 3, h, w] in [0, 1] -> [N, d], not normalised. On a CPU the views of one image are encoded at a time, so
        that the last bit of a feature does not depend on other images. tower: used instead of the run's own."""
        size = 512 if pixels.is_cuda or self.views.n == 1 else self.views.n
        with autocast(self.precision, self.device):
            found = [(tower or self.image_encoder)((x - self.mean) / self.std) for x in pixels.split(size)]
        return full(torch.cat(found))

    def view_logits(self, f: Tensor, t: Tensor) -> Tensor:
        """l_i = scale * f_i . t: [B, n, C] from [B, n, d] and [C, d], or [B, C, d]."""
        return self.logit_scale * (f @ self.text_noise.moved(t).mT)

    def from_features(self, f: Tensor) -> Tensor:
        """[B, n, d] -> [B, C]: the method's answer."""
        raise NotImplementedError

    def respond(self, views: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        """Logits [B, C] of the plain view under v0, and of the method. views: [B, n, 3, h, w]; seeds: one per image."""
        return self.respond_to(self.encode_views(views))

    def respond_to(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """`respond` from the features [B, n, d] of the views."""
        return self.view_logits(f[:, :1], self.text_features())[:, 0], self.from_features(f)

    def answer(self, images: list[ViewedImage]) -> tuple[Tensor, Tensor]:
        """`respond` for images from a loader."""
        if all(image.features is not None for image in images):
            before, after = self.respond_to(normalize(torch.stack([image.features for image in images])))
        else:
            views = torch.stack([self.views.finish(image, self.device) for image in images])
            before, after = self.respond(views, [image.seed for image in images])
        wrong = ~(before.isfinite().all(dim=1) & after.isfinite().all(dim=1))
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise DivergedError(
                f"The output for image {images[row].path or row} is infinite or NaN: lower the rate of the steps "
                f"({self.node}.LR) or take {self.node}.PREC fp32; if it is so without steps ({self.node}.STEPS 0), the "
                "backbone's weights are damaged."
            )
        return before, after

    # ------------------------------------------------------------------ testing

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A context in which `count` sums its images; at the end the counts are added to the record."""
        self.counts = Counter()
        try:
            yield
            self.record["test_time"] |= self.counts
        finally:
            self.counts = None

    def count(self, name: str, images: Tensor) -> None:
        """Adds the number of True entries of images [B] to the count `name`. No effect outside of `counting`, so that
        predictions alone change no record."""
        if self.counts is not None:
            self.counts[name] += int(images.sum())

    def viewed(
        self, loader: DataLoader, split: str, order: Sequence[int] | None = None, clean: Collection[int] = ()
    ) -> SizedIterable[ViewedImage]:
        """The images of a test, with the features of their views where the method's answer comes from these, so that
        they are encoded once for all such methods. order, clean: as in `view_loader`."""
        if self.sees_pixels():
            return view_loader(self.cfg, self.views, loader, self.dm.dataset, split, order, clean)
        return ViewFeatures(self, loader, split, order, clean)

    def sees_pixels(self) -> bool:
        """Whether the features of the views, by the run's own CLIP, are not enough for an answer."""
        kind = type(self)
        return any(getattr(kind, name) is not getattr(TestTimeTrainer, name) for name in SEES_PIXELS)

    def _evaluate(self, data_loader, split: str) -> None:
        outputs = BeforeAfter()
        loader = self.viewed(data_loader, split)
        with self.counting():
            for group in groups(progress(loader, desc=f"evaluate {split}"), self.method_cfg().SAMPLES_PER_STEP):
                before, after = self.answer(group)
                label = torch.tensor([image.label for image in group], device=after.device)
                self.evaluator.process(after, label)
                keep_others(self.evaluator, {"before": before}, label)
                outputs.add(group, label, before, after)
        self._record(outputs, split)

    def _record(self, outputs: BeforeAfter, split: str) -> None:
        """Puts the figures of a test into the record and the log."""
        if not hasattr(self.evaluator, "outputs"):  # another project's, in its checkout
            name = "outputs.npz" if split == "test" else f"outputs_{split}.npz"
            outputs.write(os.path.join(self.output_dir, name), self.dm.dataset.classnames)
        found = outputs.summary()
        self.record["test_time"] |= found
        logger.info(
            "* accuracy of the plain view, untuned: %.1f%%; ECE %.1f%% before, %.1f%% after; %d images corrected, "
            "%d spoiled", *(found[k] for k in ("accuracy_before", "ece_before", "ece_after", "mended", "spoiled")),
        )  # fmt: skip

    def model_inference(self, image: Tensor) -> Tensor:
        """Logits [B, C] for images [B, 3, h, w] from a loader. Since they have no path, their draws are seeded by their
        pixels."""
        pictures = ((image * self.std + self.mean) * 255).round().clamp(0, 255).to("cpu", torch.uint8)
        images = [self.views.of_picture(picture, base_seed(self.cfg)) for picture in pictures]
        with torch.no_grad():
            return torch.cat([self.answer(g)[1] for g in groups(iter(images), self.method_cfg().SAMPLES_PER_STEP)])

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        raise InputError(f"{type(self).__name__} is not trained; run it with --eval-only.")
