"""A trained method as a function of the picture, for attacks on the method itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from clipkit import normalize
from dassl.utils import InputError

if TYPE_CHECKING:
    from dassl.protocols import Trainer


class PixelModel:
    """`with PixelModel(trainer) as logits:` gives float32 [B, 3, H, W] in [0, 1] -> logits float32 [B, C].

    Normalisation is inside, with the same operations in the same order as the loader's. Within the block the method is
    in eval mode and fp32 (an fp16 model's gradient underflows), its parameters are frozen, gradients are on, and text
    features that do not depend on the picture are computed once. At the end the method is as it was before.

    If the trainer has a method `pixel_logits(x01)`, that is called instead. Raises InputError for test transforms that
    do more than normalise, and on entering for a half-precision model whose trainer has no `precision`.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        given = trainer.cfg.INPUT
        if "instance_norm" in given.TRANSFORMS:
            raise InputError(
                "INPUT.TRANSFORMS has instance_norm, under which eps has no meaning in pixels; leave it out."
            )
        wanted = "normalize" in given.TRANSFORMS
        shape = (-1, 1, 1)
        self.mean = torch.tensor(given.PIXEL_MEAN, device=trainer.device).view(shape) if wanted else None
        self.std = torch.tensor(given.PIXEL_STD, device=trainer.device).view(shape) if wanted else None

    def __enter__(self) -> PixelModel:
        trainer = self.trainer
        self._training = {name: model.training for name, model in trainer._models.items() if model is not None}
        self._flags = [(p, p.requires_grad) for m in self._modules() for p in m.parameters()]
        self._halves = [(t, t.data) for m in self._modules() for t in (*m.parameters(), *m.buffers()) if _is_half(t)]
        self._precision = getattr(trainer, "precision", None)
        if self._halves and self._precision is None:
            raise InputError(
                f"{trainer.cfg.TRAINER.NAME} runs in half precision, in which an attack's gradient underflows; set its "
                "PREC to fp32 or amp."
            )
        for p, _ in self._flags:
            p.requires_grad_(False)
        for tensor, data in self._halves:
            tensor.data = data.float()
        if self._precision is not None:
            trainer.precision = "fp32"
        trainer.set_model_mode("eval")
        return self

    def __exit__(self, *error: object) -> None:
        trainer = self.trainer
        if self._precision is not None:
            trainer.precision = self._precision
        for tensor, data in self._halves:
            tensor.data = data
        for p, flag in self._flags:
            p.requires_grad_(flag)
        trainer.set_model_mode("eval")  # drops what was computed in fp32
        for name, training in self._training.items():
            trainer.set_model_mode("train" if training else "eval", name)

    def __call__(self, x01: Tensor) -> Tensor:
        trainer = self.trainer
        if hasattr(trainer, "pixel_logits"):
            return trainer.pixel_logits(x01).float()
        x = x01 if self.mean is None else (x01 - self.mean) / self.std
        if getattr(
            trainer, "frozen_image_encoder", False
        ):  # the method takes CLIP's image features, here with gradient
            x = trainer.image_encoder(x).float()
            x = normalize(x) if getattr(trainer, "stored_normalized", True) else x
        return trainer.model_inference(x).float()

    def _modules(self) -> list[nn.Module]:
        found = [m for m in self.trainer._models.values() if m is not None]
        more = [getattr(self.trainer, name, None) for name in ("model", "clip")]
        return list({id(m): m for m in (*found, *more) if isinstance(m, nn.Module)}.values())


def _is_half(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16)
