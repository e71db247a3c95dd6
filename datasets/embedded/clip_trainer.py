"""One run of contrastive pre-training: the recipe, the losses, and a step (train_clip.py is the command)."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from clip.model import CLIP
from torch import Tensor, nn

from .captions import Captioner, compact_ids
from .fast_clip import encode_image, encode_text, matrix_dtype
from .muon import Muon
from .pairs import Pairs, draw_pairs
from .resume import set_words, words_of
from .vocab import COLOURS, NOUNS, PATTERNS

MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(1, 3, 1, 1)  # CLIP's preprocessing
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(1, 3, 1, 1)
ARCHITECTURE = {
    "embed_dim": 128,
    "image_resolution": 48, "vision_layers": 4, "vision_width": 192, "vision_patch_size": 8,
    "context_length": 77, "vocab_size": 49408,
    "transformer_width": 128, "transformer_heads": 2, "transformer_layers": 4,
}  # fmt: skip


@dataclass
class Recipe:
    """Settings of a run; the defaults, without a time limit, are those of the shipped weights (see the model card)."""

    images: int = 900_000
    batch: int = 256
    seed: int = 0
    lr_matrix: float = 8e-3  # Muon, rescaled to AdamW's update size
    lr_other: float = 3e-3  # AdamW: embeddings, norms, biases
    weight_decay: float = 0.05
    warmup: float = 0.015  # this and the following in shares of the run
    patch_share: float = 0.5  # patches seen in the first part of the run
    full_from: float = 0.65  # where all patches are seen
    easy_until: float = 0.15  # hardness rises to 1 until here
    scale_start: float = 14.0
    scale_end: float = 100.0
    scale_until: float = 0.75  # the logit scale reaches scale_end here and stays
    ema: float = 0.995


def build_clip(seed: int) -> CLIP:
    """A randomly initialised CLIP of the embedded architecture, with smoother positional embeddings than OpenAI's."""
    torch.manual_seed(seed)
    clip = CLIP(**ARCHITECTURE)
    nn.init.normal_(clip.visual.class_embedding, std=0.02)
    nn.init.normal_(clip.visual.positional_embedding, std=0.02)
    return clip


def choose_patches(coverage: Tensor, share: float, generator: torch.Generator) -> Tensor | None:
    """Indices [B, K] of the patches to look at: those that show the figure more often than the others; None: all."""
    if share >= 1:
        return None
    weight = F.avg_pool2d(coverage[:, None], 8).flatten(1)
    chance = torch.rand(weight.shape, generator=generator) + 0.8 * (weight > 0.02)
    return chance.topk(round(share * weight.shape[1]), dim=1).indices


def contrastive_loss(image: Tensor, text: Tensor, owner: Tensor, shown: Tensor, said: Tensor, scale: float) -> Tensor:
    """Symmetric cross-entropy between B images and U different captions.

    image [B, d], text [U, d] normalised; owner [B] is each image's caption; shown [B, A], said [U, A] attributes. A
    caption that is true of an image but belongs to another is neither positive nor negative.
    """
    logits = scale * image @ text.t()
    own = F.one_hot(owner, len(text)).bool()
    agree = ((said[None] < 0) | (said[None] == shown[:, None])).all(-1)
    logits = logits.masked_fill(agree & ~own, float("-inf"))
    by_image = F.cross_entropy(logits, owner)
    log_share = F.log_softmax(logits.t(), dim=1).masked_fill(~own.t(), 0.0)
    by_text = -(log_share.sum(1) / own.sum(0)).mean()
    return 0.5 * (by_image + by_text)


def head_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy over the rows whose target is known (>= 0)."""
    return F.cross_entropy(logits, target, ignore_index=-1) if bool((target >= 0).any()) else logits.sum() * 0


class Trainer:
    """State of one training run; `step` advances it by a batch, `clip_state` gives weights to save."""

    def __init__(self, recipe: Recipe, captioner: Captioner) -> None:
        self.recipe = recipe
        self.captioner = captioner
        self.clip = build_clip(recipe.seed)
        self.ids = captioner.vocabulary()
        self.row_of = {token: row for row, token in enumerate(self.ids)}
        self.seen = torch.zeros(len(self.ids), dtype=torch.long)
        self.table = nn.Parameter(self.clip.token_embedding.weight.detach()[self.ids].clone())
        self.heads = nn.Linear(ARCHITECTURE["embed_dim"], len(NOUNS) + len(COLOURS) + len(PATTERNS))
        self.images_done = 0
        self.dtype = matrix_dtype()
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.rng = random.Random(recipe.seed)
        self._build_optimizers()
        self.average = {name: p.detach().clone() for name, p in self._named()}

    def _named(self) -> list[tuple[str, Tensor]]:
        skip = ("token_embedding.weight", "logit_scale")
        named = [(n, p) for n, p in self.clip.named_parameters() if n not in skip]
        return [*named, ("table", self.table)]

    def _build_optimizers(self) -> None:
        r = self.recipe
        matrices = [p for n, p in self.clip.named_parameters() if "resblocks" in n and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for n, p in self._named() if id(p) not in chosen] + list(self.heads.parameters())
        decayed = [p for p in rest if p.ndim >= 2]
        plain = [p for p in rest if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": r.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizers = [
            Muon(matrices, r.lr_matrix, r.weight_decay, self.dtype),
            torch.optim.AdamW(groups, lr=r.lr_other, betas=(0.9, 0.98), fused=True),
        ]
        self.base_lrs = [r.lr_matrix, r.lr_other]
        self.parameters = [*matrices, *rest]

    def logit_scale(self, progress: float) -> float:
        """The scale of the logits at `progress` (0..1): from scale_start to scale_end, geometrically, until
        scale_until."""
        r = self.recipe
        part = min(1.0, progress / r.scale_until)
        return math.exp(math.log(r.scale_start) * (1 - part) + math.log(r.scale_end) * part)

    def lr_factor(self, progress: float) -> float:
        """The learning rate at `progress` (0..1) as a share of the largest: warm-up, then a half cosine to 0."""
        if progress < self.recipe.warmup:
            return (progress + 1e-3) / self.recipe.warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def loss(self, pairs: Pairs, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch at `progress` (0..1), and its parts for the log: contrastive loss, and those of the
        heads."""
        r = self.recipe
        unique: dict[str, int] = {}
        owner = torch.tensor([unique.setdefault(text, len(unique)) for text in pairs.captions])
        first = torch.empty(len(unique), dtype=torch.long)
        first[owner.flip(0)] = torch.arange(len(owner)).flip(0)
        rows = compact_ids(unique, self.row_of)
        for row in rows:
            self.seen[row] += 1
        keep = choose_patches(pairs.coverage, 1.0 if progress >= r.full_from else r.patch_share, self.generator)
        image = encode_image(self.clip, (pairs.images - MEAN) / STD, keep, self.dtype)
        text = encode_text(self.clip, self.table, rows, self.dtype)
        image, text = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
        scale = self.logit_scale(progress)
        pair = contrastive_loss(image, text, owner, pairs.shown, pairs.said[first], scale)
        noun, colour, pattern = self.heads(image * 20).split((len(NOUNS), len(COLOURS), len(PATTERNS)), dim=1)
        aux = [head_loss(x, pairs.shown[:, k]) for k, x in enumerate((noun, colour, pattern))]
        weight = 1.0 - 0.8 * progress  # the heads help most at the start
        total = pair + weight * (aux[0] + 0.5 * aux[1] + 0.5 * aux[2])
        right = (noun.argmax(1) == pairs.shown[:, 0]).float().mean()
        return total, {"pair": pair.item(), "noun": aux[0].item(), "acc": 100 * right.item(), "scale": scale}

    def step(self, progress: float) -> dict[str, float]:
        """One batch at `progress` (0..1) of the schedule; returns the parts of the loss."""
        r = self.recipe
        hardness = min(1.0, 0.1 + 0.9 * progress / r.easy_until)
        pairs = draw_pairs(r.batch, hardness, self.captioner, self.generator, self.rng)
        total, parts = self.loss(pairs, progress)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        total.backward()
        parts["norm"] = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True).item()
        factor = self.lr_factor(progress)
        for optimizer, base in zip(self.optimizers, self.base_lrs, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * factor
            optimizer.step()
        self.images_done += r.batch
        decay = min(r.ema, 1 - 1 / (1 + self.images_done / r.batch))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), [p.detach() for _, p in self._named()], 1 - decay)
        return parts

    def clip_state(self) -> dict[str, Tensor]:
        """fp16 state dict of clip.model.CLIP: averaged weights; unused rows of the token table are as initialised."""
        state = {k: v.detach().clone() for k, v in self.clip.state_dict().items()}
        state.update({k: v for k, v in self.average.items() if k != "table"})
        state["token_embedding.weight"][self.ids] = self.average["table"]
        state["logit_scale"] = torch.tensor(math.log(self.recipe.scale_end))
        return {k: v.half().contiguous() for k, v in state.items()}

    def trained_ids(self, least: int = 20) -> list[int]:
        """Ids of tokens that occurred in at least `least` different captions."""
        return [token for token, count in zip(self.ids, self.seen.tolist(), strict=True) if count >= least]

    def state(self) -> dict:
        """All that the next step depends on, as tensors and plain values."""
        return {
            "dtype": str(self.dtype).removeprefix("torch."),
            "clip": self.clip.state_dict(),
            "table": self.table.detach(),
            "heads": self.heads.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "seen": self.seen,
            "images": self.images_done,
            "generator": self.generator.get_state(),
            "captions": words_of(self.rng),
        }

    def restore(self, state: dict) -> None:
        """Continue where another trainer of the same recipe was."""
        self.dtype = getattr(torch, state["dtype"])  # the run goes on in the type that it began with
        self.clip.load_state_dict(state["clip"])
        self.heads.load_state_dict(state["heads"])
        with torch.no_grad():
            self.table.copy_(state["table"])
            for name, value in state["average"].items():
                self.average[name].copy_(value)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.seen.copy_(state["seen"])
        self.images_done = state["images"]
        self.generator.set_state(state["generator"])
        set_words(self.rng, state["captions"])
