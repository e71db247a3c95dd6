"""TextRefiner: Internal Visual Feature as Efficient Refiner for Vision-Language Models Prompt Tuning (AAAI 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import normalize
from dassl.config.domains import NOT_NEGATIVE, POSITIVE, number, whole
from dassl.engine import TRAINER_REGISTRY

from .coop import CoOp, PromptLearner
from .shared.checks import check_vit
from .shared.domains import declare

N = "TRAINER.TF."
TOP = 5  # patches that represent an image: those with the highest attention of CLS
KEEP = 0.8  # share of a slot's old content that a write keeps


class PatchMap(nn.Module):
    """phi: a map of each token on its own, d -> d, with batch statistics over all rows."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, d]: the rows are the pixels of one picture."""
        return self.conv1(x.t()[None, :, :, None])[0, :, :, 0].t()


class Memory(nn.Module):
    """The second checkpoint file: the fusion map, with the cache Q as a buffer."""

    def __init__(self, extractor: nn.Linear, memory_item: Tensor) -> None:
        super().__init__()
        self.extractor = extractor
        self.register_buffer("memory_item", memory_item)


class Learner(nn.Module):
    """The context, phi, the fusion map, and the cache Q [slots, d], which is updated by writes, not by gradients."""

    memory_item: Tensor

    def __init__(self, prompt_learner: PromptLearner, dim: int, slots: int) -> None:
        super().__init__()
        self.prompt_learner, self.mid_image_trans = prompt_learner, PatchMap(dim)
        self.extractor = nn.Linear(2 * dim, dim, bias=False)
        self.register_buffer("memory_item", normalize(torch.rand(slots, dim)))

    def read(self, t: Tensor) -> Tensor:
        """r [C, d]: a mean of the slots for each normalised text feature [C, d]."""
        q = self.memory_item.clone()  # cloned, since the same step overwrites the cache
        return (t @ q.t()).softmax(dim=1) @ q

    def refined(self, t: Tensor, alpha: float) -> Tensor:
        """t' = t + alpha * F([t, r]), [C, d]; not normalised, neither as classifier."""
        return t + alpha * self.extractor(torch.cat([t, self.read(t)], dim=1))

    @torch.no_grad()
    def write(self, u: Tensor) -> None:
        """Writes each row of u [n, d] to its nearest slot, with a weight that is 1 for the slot's best row. Slots
        without a row keep their direction. Rows are summed, not averaged, so a slot with many rows is overwritten at
        once."""
        v, q = normalize(u), self.memory_item
        with torch.autocast(u.device.type, enabled=False):
            scores = v @ q.t()
            share = scores.softmax(dim=0)
            own = F.one_hot(scores.argmax(dim=1), len(q)) * (share / share.amax(dim=0))  # [n, slots]
            written = torch.where(own.any(dim=0)[:, None], KEEP * q + (1 - KEEP) * own.t() @ v, q)
        self.memory_item.copy_(normalize(written))


@TRAINER_REGISTRY.register()
class TextRefiner(CoOp):
    """CoOp whose text features are refined by a cache of local image features, written in training."""

    config_defaults = {
        **CoOp.config_defaults,
        N + "MEMORY_SIZE": 25,
        N + "ALPHA": 0.2,  # weight of the features read from the cache
        N + "BALANCE": 50.0,  # the local loss is divided by it
        N + "DISTILL": 20.0,  # weight of the distance between refined and plain text features
    }
    config_domains = CoOp.config_domains | declare(
        {key: value for key, value in config_defaults.items() if key.startswith(N)},
        {"MEMORY_SIZE": whole(1), "ALPHA": number(), "BALANCE": POSITIVE, "DISTILL": NOT_NEGATIVE},
    )
    architecture = (*CoOp.architecture, N + "MEMORY_SIZE", N + "ALPHA")

    def build_learner(self) -> Learner:
        check_vit(self, "reads the attention of the image tower's last block")
        return Learner(super().build_learner(), self.text_encoder.embed_dim, self.cfg.TRAINER.TF.MEMORY_SIZE)

    def registered(self) -> dict[str, nn.Module]:
        """As published: two files, the second with fusion map and cache."""
        model = self.model
        first = nn.ModuleDict({"prompt_learner": model.prompt_learner, "mid_image_trans": model.mid_image_trans})
        return {"prompt_learner": first, "Memory": Memory(model.extractor, model.memory_item)}

    def local_rows(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(f [B, d], normalised; u [B, 1 + G, d]; the rows that represent each image [B, TOP + 2, d]: u of CLS, of the
        patches that CLS attends to most, and the mean of all)."""
        with torch.no_grad():
            tokens, attention = self.image_encoder.with_attention(image.type(self.image_encoder.dtype))
            tokens = tokens.float()
        u = self.model.mid_image_trans(tokens.flatten(0, 1)).view_as(tokens)
        top = 1 + attention.topk(min(TOP, attention.shape[1]), dim=1).indices
        rows = [u[:, :1], u.take_along_dim(top[..., None], dim=1), u.mean(dim=1, keepdim=True)]
        return normalize(tokens[:, 0]), u, torch.cat(rows, dim=1)

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """CE of the refined texts + CE of local rows and plain texts / BALANCE + DISTILL * mean |norm(t') - t|; then
        the cache is written."""
        cfg = self.cfg.TRAINER.TF
        t = self.encode_text()
        refined = self.model.refined(t, cfg.ALPHA)
        f, u, local = self.local_rows(image)
        logits = self.logits(f, refined)
        local_logits = self.logits(local.flatten(0, 1), t)
        terms = self.classification_loss(logits, label) | {
            "local": F.cross_entropy(local_logits, label.repeat_interleave(local.shape[1])) / cfg.BALANCE,
            "distill": cfg.DISTILL * F.l1_loss(normalize(refined), t),
        }
        self.model.write(u.detach().flatten(0, 1).float())
        return logits, terms

    def classifier(self) -> Tensor:
        """t' [C, d], made once per test."""
        refine = self.model.refined
        return self.once("refined", lambda: refine(self.text_features(), self.cfg.TRAINER.TF.ALPHA))

    def class_features(self) -> Tensor:
        return normalize(self.classifier())

    def image_logits(self, features: Tensor) -> Tensor:
        return self.logits(features, self.classifier())
