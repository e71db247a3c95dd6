"""AdvPT: Adversarial Prompt Tuning for Vision-Language Models (Zhang et al., ECCV 2024)."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import fingerprint, image_list_key, normalize
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import base_seed, read_image, stream_seed
from dassl.utils.progress import progress
from datasets.attacked.pictures import square_picture, to_uint8

from .coop import CoOp
from .parts.training_attack import CONFIG_DEFAULTS, CONFIG_DOMAINS, TrainingAttack, attack_precision
from .shared.bank_facts import bank_facts

AT_ONCE = 64  # batch size of the attack


class BankBatches:
    """A training loader over the bank of embeddings: batches in an order that is drawn anew in each epoch."""

    def __init__(self, trainer: AdvPT, bank: Tensor) -> None:
        self.trainer, self.bank = trainer, bank
        self.dataset, self.batch_size = trainer.train_loader_x.dataset, trainer.cfg.DATALOADER.TRAIN_X.BATCH_SIZE
        self.label = torch.tensor([item.label for item in trainer.dm.dataset.train_x])

    def __len__(self) -> int:
        return -(-len(self.bank) // self.batch_size)

    def __iter__(self) -> Iterator[dict]:
        generator = torch.Generator().manual_seed(stream_seed(base_seed(self.trainer.cfg), "bank", self.trainer.epoch))
        for rows in torch.randperm(len(self.bank), generator=generator).split(self.batch_size):
            yield {"img": self.bank[rows], "label": self.label[rows], "index": rows}


@TRAINER_REGISTRY.register()
class AdvPT(CoOp):
    """CoOp's context, learned on a bank of attacked embeddings; the cross-entropy of s unit(e') . t(v).

    Once for a training set and a tower, each picture (resized and cropped without augmentation) is attacked without
    labels and prompts: KL(softmax(e) || softmax(e')) of raw embeddings is ascended at eps 8 in ten steps of one level,
    from a start in U(0, eps), above the picture only. Training reads the bank alone; no picture is decoded.
    """

    preset = "advpt"
    config_defaults = {**CoOp.config_defaults, **CONFIG_DEFAULTS}
    config_domains = {**CoOp.config_domains, **CONFIG_DOMAINS}

    @functools.cached_property
    def precision(self) -> str:
        return attack_precision(self.method_cfg().PREC, self.device)

    def build_model(self) -> None:
        self.inner = TrainingAttack.from_cfg(self.cfg, self.preset)
        super().build_model()
        self.record["train_attack"] = self.inner.told()

    def before_train(self) -> None:
        super().before_train()
        bank = self.bank.get(self.bank_key(), lambda: {"attacked": self.attack_all()})["attacked"]
        self.train_loader_x = BankBatches(self, bank)

    def bank_key(self) -> dict:
        """All that the bank depends on. Its draws are those of the pictures, not of the run's seed."""
        return {
            "kind": "embeddings of attacked training pictures, raw, fp32",
            **bank_facts(fingerprint(self.clip), self.precision, self.device),
            "picture": f"{tuple(self.cfg.INPUT.SIZE)}, bilinear",
            "normalised": [list(self.cfg.INPUT.PIXEL_MEAN), list(self.cfg.INPUT.PIXEL_STD)],
            "attack": self.inner.told(),
            "images": image_list_key([item.impath for item in self.dm.dataset.train_x]),
        }

    def attack_all(self) -> Tensor:
        """[N, d]: e' of all training pictures, in their order."""
        picture = square_picture(self.cfg.INPUT.SIZE[0], "bilinear")
        items, found = self.dm.dataset.train_x, []
        for start in progress(range(0, len(items), AT_ONCE), desc="attacked embeddings"):
            part = items[start : start + AT_ONCE]
            x = torch.stack([to_uint8(picture(read_image(item.impath))) for item in part]).to(self.device).float() / 255
            found.append(self.attack_embeddings(x, [stream_seed("advpt", start + i) for i in range(len(part))]).cpu())
        return torch.cat(found)

    def attack_embeddings(self, x: Tensor, seeds: list[int]) -> Tensor:
        """e' [B, d] of pictures x [B, 3, h, w] in [0, 1]."""
        with torch.no_grad():
            target = self.embed(x).log_softmax(dim=1)

        def gradient(seen: Tensor) -> Tensor:
            leaf = seen.detach().requires_grad_()
            with torch.enable_grad():
                log_q = self.embed(leaf).log_softmax(dim=1)
                loss = F.kl_div(log_q, target, reduction="batchmean", log_target=True)
                return torch.autograd.grad(loss, leaf)[0]

        adversarial = self.inner.run(x, gradient, seeds)
        with torch.no_grad():
            return self.embed(adversarial)

    def embed(self, x: Tensor) -> Tensor:
        """Raw embeddings [B, d] of pictures in [0, 1]."""
        mean, std = (
            torch.tensor(v).to(x).view(-1, 1, 1) for v in (self.cfg.INPUT.PIXEL_MEAN, self.cfg.INPUT.PIXEL_STD)
        )
        return self.image_encoder(((x - mean) / std).type(self.image_encoder.dtype)).float()

    def encode_image(self, image: Tensor) -> Tensor:
        """[B, d], normalised; of a bank's rows [B, d] too."""
        return normalize(image.float()) if image.ndim == 2 else super().encode_image(image)
