"""The base of all prompt-learning methods: a frozen CLIP, the training step, and a test that computes nothing twice.

A method derives from `PromptTrainer` and writes down its config defaults, its learnable module and its loss.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from clipkit import FeatureBank, ImageEncoder, InputError, derive_seed, frozen_text, normalize
from clipkit.openai_clip import CLIP
from dassl.config.domains import Domain, check_config
from dassl.config.keys import config_value
from dassl.engine import TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils.finite import check_loss

from .label_noise.label_filter import filter_training_list
from .label_noise.memorisation import MemorisationCurves, start_curves
from .shared.backbone import check_images, shared_clip, tower_record
from .shared.checks import check_no_method, warn_of_one_class
from .shared.crop_features import CropFeatures, takes_features
from .shared.feature_loader import FeatureLoader
from .shared.joint_text import finish_backward, text_encoder
from .shared.learner_files import LearnerFiles
from .shared.precision import autocast, choose_precision
from .shared.tester import Tester
from .shared.text_noise import TextNoise
from .shared.training_list import TrainingList

logger = logging.getLogger(__name__)


class PromptTrainer(TrainerX):
    """Base of every method.

    A method gives:
        config_defaults   {dotted key: default}, its config keys; `PREC` is found at `<node>.PREC`
        config_domains    {dotted key: Domain}, their allowed values, see `domains.declare`
        node              its config node, such as "TRAINER.COOP"
        build_learner()   a module with the learnable tensors only (or None: nothing is trained)
        encode_text()     [C, d] normalised text features of `self.classnames` under the current prompts
        loss(image, label)  -> (logits [B, C], {term: scalar}); the terms are summed and logged one by one.
                          What else `parse_batch_train` takes from a batch is passed on to it
    and, where it prompts the image tower, `encode_image`, with `frozen_image_encoder = False`.
    """

    node = "TRAINER"
    registered_name = "prompt_learner"  # folder of the checkpoints
    config_defaults: dict = {}
    config_domains: Mapping[str, Domain] = {}  # the allowed values of these keys
    hand_written = False  # True: the prompt is a template, which a test may exchange
    stored_normalized = True  # whether the features of `stored_image` are normalised
    frozen_image_encoder: bool | None = True  # True: test image features are shared through the feature bank
    # True: the method's `loss` also accepts features [B, d] of a frozen tower as images, see `crop_features.py`.
    trains_on_features = False
    # True beside what encodes images: its results are the same for any class names, see `seen_images.py`.
    images_read_no_names = False
    # True beside a method's `loss`: its text passes can be made together with those of other runs, see `joint_text.py`.
    stacks = False
    # Config keys that shape the learner: they are saved in the checkpoint, and a test reads them from it.
    architecture: tuple[str, ...] = ()

    @classmethod
    def architecture_of(cls, state: dict) -> dict:
        """{dotted key: value} of `architecture`, derived from a checkpoint's tensors, for files that do not record
        them."""
        return {}

    @classmethod
    def architecture_in(cls, metadata: dict) -> dict:
        """{dotted key: value} of `architecture` in the `metadata` that a published file holds beside its weights."""
        return {}

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        """{dotted key: value} for this dataset, applied after the YAML files and before the command line's pairs."""
        return {}

    def check_cfg(self, cfg: CfgNode) -> None:
        check_config(cfg, self.config_domains)
        if cfg.INPUT.NO_TRANSFORM:
            raise InputError("INPUT.NO_TRANSFORM is True, but CLIP needs tensors, not PIL images; leave it False.")

    # ------------------------------------------------------------------ building

    def method_cfg(self) -> CfgNode:
        """The method's own config node."""
        return config_value(self.cfg, self.node)

    @functools.cached_property
    def precision(self) -> str:
        return choose_precision(self.method_cfg().PREC, self.device)

    @functools.cached_property
    def clip(self) -> CLIP:
        """The frozen backbone."""
        return shared_clip(self.cfg.MODEL.BACKBONE, self.precision, self.device)

    def build_data_loader(self) -> None:
        check_images(self.cfg, lambda: self.clip)  # before any image is prepared
        super().build_data_loader()

    def build_model(self) -> None:
        cfg = self.cfg
        self.tester, self.files = Tester(self), LearnerFiles(self)
        self.text_encoder, self.image_encoder = text_encoder(self), ImageEncoder(self.clip)
        self.logit_scale = self.clip.logit_scale.detach().exp().float()
        if self.method_cfg().get("FIXED_SCALE"):  # of methods whose published code writes 100
            self.logit_scale = torch.full_like(self.logit_scale, 100.0)
        # `described`: names by which descriptions are found; `classnames`: those in prompts, possibly noisy in a test.
        self.described = [name.replace("_", " ") for name in self.dm.dataset.classnames]
        self.text_noise = TextNoise(cfg, self.described, self.hand_written)
        self.classnames = self.text_noise.names
        self.bank = FeatureBank()
        self.record: dict = tower_record(cfg, self.clip)  # entries that the method adds to results.json
        if self.text_noise.kind:
            self.record["text_noise"] = self.text_noise.facts(self.described)
        warn_of_one_class(self.classnames)
        self._kept: dict = {}  # see `once`
        self.reads: Counter[str] = Counter()  # features that came from disk: of training crops, of views
        self.curves: MemorisationCurves | None = None
        if cfg.SEED >= 0:  # the initial prompts depend on the seed alone, not on what was drawn before
            torch.manual_seed(derive_seed(cfg.SEED, "learner"))
        self.model = self.build_learner()
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.precision == "amp")
        if self.model is not None:
            self.model.to(self.device)
        self.files.start(self.model)
        if self.model is None:
            return
        logger.info("Learnable tensors: %s numbers", f"{sum(p.numel() for p in self.model.parameters()):,}")
        self.optim = build_optimizer(self.model, cfg.OPTIM)
        self.sched = self.build_scheduler()
        for i, (name, part) in enumerate(self.registered().items()):  # one optimizer, stepped once, for all of them
            self.register_model(name, part, *(() if i else (self.optim, self.sched)))

    def registered(self) -> dict[str, nn.Module]:
        """{folder of checkpoints: module} of what is saved; several where the published code saves several files."""
        return {self.registered_name: self.model}

    def build_scheduler(self) -> LRScheduler:
        """The schedule of the learning rate: that of cfg.OPTIM."""
        return build_lr_scheduler(self.optim, self.cfg.OPTIM)

    def __setattr__(self, name: str, value: object) -> None:
        check_no_method(type(self), name, value)
        super().__setattr__(name, value)

    def build_learner(self) -> nn.Module | None:
        raise NotImplementedError

    @property
    def context_learner(self) -> nn.Module:
        """The part of the learner that holds the context: its `prompt_learner`, or all of it."""
        return getattr(self.model, "prompt_learner", self.model)

    # ------------------------------------------------------------------ the model's two sides

    def encode_text(self) -> Tensor:
        raise NotImplementedError

    def prepare_names(self, names: list[str]) -> object:
        """The input of `encode_names` for these names: embedded prompts, frozen features. Used by `trainers/sar.py`."""
        raise NotImplementedError

    def encode_names(self, prepared: object) -> Tensor:
        """[N, d] normalised text features of the N names of `prepare_names` under the current prompts."""
        raise NotImplementedError

    def encode_image(self, image: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> features [B, d], normalised. Features [B, d] of a frozen tower are returned as they
        are."""
        return image if image.ndim == 2 else normalize(self.prompted_image(image))

    def prompted_image(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, d], not normalised. Here: the frozen tower."""
        with torch.no_grad():
            return self.image_encoder(image.type(self.image_encoder.dtype)).float()

    def frozen_image(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, d], normalised: CLIP's own features, without a gradient. [B, d] is returned as it is."""
        if image.ndim == 2:
            return image
        with torch.no_grad():
            return normalize(self.image_encoder(image.type(self.image_encoder.dtype)).float())

    def stored_image(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> the features [B, d] that the feature bank stores where the image tower is frozen."""
        return self.encode_image(image)

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """logit_scale * cos, [B, C] from normalised [B, d] and [C, d], or [B, C, d] where each image has its own texts.

        In fp32 for any precision of the towers; with TRAINER.FP16_LOSS an fp16 run has fp16 logits, and so an fp16
        loss, as in the published code.
        """
        dtype = torch.float16 if self.precision == "fp16" and self.cfg.TRAINER.get("FP16_LOSS") else torch.float32
        f, t = image_features.to(dtype), self.text_noise.moved(text_features).to(dtype)
        with torch.autocast(self.device.type, enabled=False):
            cos = f @ t.t() if t.dim() == 2 else (t @ f[..., None])[..., 0]
            return self.logit_scale.to(dtype) * cos

    def once(self, name: str, compute: Callable[[], object]) -> object:
        """`compute()`, cached under `name` until the prompts may have changed: when the mode is switched (so at each
        test), after a step, and when a model is loaded. In training mode nothing is cached."""
        if self.model is not None and self.model.training:
            return compute()
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def text_features(self) -> Tensor:
        """`encode_text()`, computed once per test, not once per batch."""
        return self.once("text features", self.encode_text)

    def class_features(self) -> Tensor:
        """The class features that a test compares images with: [C, d], normalised; where they depend on the image,
        [B, C, d] of the first B test images."""
        return self.text_features()

    def frozen_text(self, texts: list[str], normalized: bool = True) -> Tensor:
        """[N, d] features of fixed texts under the frozen tower, read from disk if they were computed before."""
        return frozen_text(texts, self.text_encoder, self.bank, self.precision, normalized)

    # ------------------------------------------------------------------ training

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def forward_backward(self, batch: dict) -> dict[str, float]:
        image, label, *more = self.parse_batch_train(batch)
        with autocast(self.precision, self.device):
            logits, terms = self.loss(image, label, *more)
        self.model_zero_grad()
        loss = self.backward(terms)
        summary = {"loss": loss, "acc": compute_accuracy(logits, label)[0].squeeze()}
        if len(terms) > 1:
            summary.update({f"loss_{name}": term for name, term in terms.items()})
        # one transfer from the device for everything that is logged
        values = torch.stack([v.detach().float() for v in summary.values()]).tolist()
        check_loss(self, values[0], {name: x for name, x in zip(summary, values, strict=True) if "loss_" in name})
        if self.curves is not None:
            self.curves.losses.append(values[0])
        self.scaler.step(self.optim)
        self.scaler.update()
        self._kept.clear()
        self.end_step()
        return dict(zip(summary, values, strict=True))

    def end_step(self) -> None:
        """Called after each step of the optimizer: a step of the schedule where the epoch ends."""
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()

    def backward(self, terms: dict[str, Tensor]) -> Tensor:
        """Computes the learner's gradients; returns the loss, the sum of the terms."""
        loss = sum(terms.values())
        self.scaler.scale(loss).backward()
        finish_backward(self.text_encoder)
        return loss

    @property
    def crop_features(self) -> CropFeatures | None:
        """The features of the training crops, where the method trains on them."""
        known = self.__dict__.get("_crop_features")
        if known is None or known.loader is not self.train_loader_x:
            known = self.__dict__["_crop_features"] = CropFeatures(self) if takes_features(self) else None
        return known

    def _batches(self) -> Iterator[tuple]:
        """The labelled batches of an epoch. Where the method trains on features, they hold these instead of images:
        each training crop is encoded once for all methods and runs."""
        if self.crop_features is None:
            yield from super()._batches()
            return
        batches = self.crop_features.epoch()
        self.num_batches = len(batches)
        for batch in self._bar(batches):
            yield (batch,)

    @functools.cached_property
    def training_list(self) -> TrainingList:
        """All training items in order, for methods that judge labels, and for logs."""
        return TrainingList(self)

    def before_train(self) -> None:
        self.files.tell_unstated()
        filter_training_list(self)
        super().before_train()
        self.curves = start_curves(self)

    def after_epoch(self) -> None:
        if self.curves is not None:
            self.curves.after_epoch()  # before the checkpoint, so that a resumed run has all points up to it
        super().after_epoch()

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor]:
        if isinstance(batch["img"], list):
            raise InputError(
                f"DATALOADER.K_TRANSFORMS is {len(batch['img'])}, but {self.cfg.TRAINER.NAME} trains on one view of an "
                "image; set it to 1."
            )
        return batch["img"].to(self.device), batch["label"].to(self.device)

    def set_model_mode(self, mode: str = "train", names: str | list[str] | None = None) -> None:
        self._kept.clear()
        super().set_model_mode(mode, names)
        if names is None and self.model is not None:
            self.model.train(mode == "train")  # the whole model, of which only parts may be registered

    def tower_accounts(self) -> dict[str, int]:
        """{count: number} of images that this run encoded, and of training crops and views whose features it read."""
        read = {f"{what}_read": self.reads[what] for what in ("training_crops", "views")}
        return {"images_encoded": self.image_encoder.encoded, **read}

    # ------------------------------------------------------------------ testing

    def model_inference(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] images, or [B, d] features from the bank, to logits [B, C]: the method's answer."""
        return self.tester.logits(image)[self.answer_name]

    def test_logits(self, image: Tensor) -> dict[str, Tensor]:
        """{name: logits [B, C]} of the same images. `answer_name` says which are the method's answer; where there are
        several, a test logs the accuracy of each beside the result."""
        return {"logits": self.image_logits(image if image.ndim == 2 else self.tester.sides(image, self.encode_image))}

    @property
    def answer_name(self) -> str:
        """The name of the answer among `test_logits`."""
        return "logits"

    def answers_itself(self) -> bool:
        """Whether the method's answer is its own `model_inference`, and not one of `test_logits`."""
        return type(self).model_inference is not PromptTrainer.model_inference

    def image_logits(self, features: Tensor) -> Tensor:
        """Test logits [B, C] of normalised image features [B, d]."""
        return self.logits(features, self.text_features())

    def test_batches(self, split: str) -> DataLoader | FeatureLoader:
        """The split's images, as features where the image tower is frozen."""
        return self.tester.batches(super().test_batches(split))

    def banked(self, loader: DataLoader) -> FeatureLoader:
        """The loader's images as features, read from disk if they were computed before."""
        return self.tester.banked(loader)

    def _evaluate(self, batches, split: str) -> None:
        self.tester.evaluate(batches, split)

    def test(self, split: str | None = None) -> float:
        """Dassl's test; then the accuracies of the other logits, and whether the class features have collapsed."""
        self.files.tell_unstated()
        result = super().test(split)
        self.text_noise.check_used(self.cfg.TRAINER.NAME)
        self.tester.report()
        return result

    # ------------------------------------------------------------------ checkpoints

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Loads `<directory>/<registered name>/model.pth.tar-<epoch>` (or model-best), also a reference's."""
        self._kept.clear()
        self.files.load(directory, epoch)

    def take_weights(self, file: str) -> None:
        """Loads one checkpoint file, as `load_model` does, to test it."""
        self._kept.clear()
        self.files.load_one(file)

    def run_identity(self) -> dict:
        """Method, backbone and settings, saved in a checkpoint: it is refused by a run with others."""
        return super().run_identity() | self.files.identity()
