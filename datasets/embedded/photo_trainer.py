"""The third stage of training: the image tower and new words learn from photographs; all else stays as it was.

The text tower and the rows of the words that it knows do not change, so that no text of the earlier stages means
anything else afterwards. Photographs are compared with class names and with facts about their classes; the names of
classes without photographs are tied to facts by text alone. Rendered pictures keep their features (held.py).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from clip.clip import _tokenizer as bpe
from clip.model import CLIP
from torch import Tensor, nn

from dassl.utils import InputError
from datasets import templates

from .captions import compact_ids, encode
from .clip_trainer import MEAN, STD
from .fast_clip import encode_image, encode_text, matrix_dtype
from .held import Held
from .muon import Muon
from .photo_data import Photos, random_view
from .photo_facts import FACTS, GRAMMAR, WORDS, fact_phrase, facts_of
from .resume import set_words, words_of
from .vocab import NOUNS, PATTERNS

_PLAIN = ("a photo of a {}.", "a photo of a {}", "a photo of the {}.", "X X X X {}.", "a picture of a {}.", "{}.", "{}")
_PATCHES = 36


@dataclass
class PhotoRecipe:
    """Settings of the third stage (see the model card)."""

    steps: int = 750
    photos: int = 128  # a step
    scenes: int = 96  # held pictures a step
    bank: int = 12_288  # held pictures in all
    pool: int = 48  # classes a step whose names are compared with facts by text alone
    hold: float = 150.0  # weight of the held features' cosine distance
    agree: float = 2.0  # weight of the held answers' KL
    scale: float = 30.0  # of the logits on photographs
    lr_matrix: float = 2e-3  # Muon
    lr_other: float = 5e-4  # AdamW: embeddings, norms, biases
    lr_rows: float = 5e-3  # AdamW: rows of new words
    weight_decay: float = 0.05  # of these rows
    warmup: int = 20
    patch_share: float = 0.6  # patches of a photograph seen in the first part of the run
    full_from: float = 0.8  # where all patches are seen
    balance: float = 0.6  # a class of n photographs is drawn in proportion to n ** (1 - balance)
    ema: float = 0.99
    seed: int = 0


class PhotoTrainer:
    """State of the third stage; `step` advances it, `clip_state` gives weights to save."""

    def __init__(self, clip: CLIP, known: list[int], photos: Photos, recipe: PhotoRecipe) -> None:
        """clip: in fp32, changed in place. known: ids of the tokens whose rows are trained."""
        self.recipe, self.clip, self.photos = recipe, clip, photos
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.rng = random.Random(recipe.seed)
        self.dtype = matrix_dtype()
        self.known, self.new = known, new_words(known)
        self.ids = self.known + self.new
        self.row_of = {token: row for row, token in enumerate(self.ids)}
        if bpe.encoder["<|endoftext|>"] not in self.row_of:
            raise InputError("The weights name no trained row of the end token: give a file of train_text")
        rows = clip.token_embedding.weight.detach()
        clip.requires_grad_(False)
        clip.visual.requires_grad_(True)
        self.fixed, self.rows = rows[self.known].clone(), nn.Parameter(rows[self.new].clone())
        self.facts = [facts_of(name) for name in photos.names]
        self.seen = torch.tensor([i for i, name in enumerate(photos.names) if name not in photos.left_out])
        self.share = torch.bincount(photos.labels).float()[photos.labels] ** -recipe.balance
        self.optimizers = self._build_optimizers()
        self.average = {name: p.detach().clone() for name, p in self._named()}
        with torch.no_grad():
            anchors = self.encode([f"a photo of a {noun}" for noun in (*NOUNS, *PATTERNS)])
        self.held = Held(clip, recipe.bank, anchors, recipe.seed + 1, self.dtype)

    def _named(self) -> list[tuple[str, Tensor]]:
        return [*((f"visual.{name}", p) for name, p in self.clip.visual.named_parameters()), ("rows", self.rows)]

    def _build_optimizers(self) -> list[torch.optim.Optimizer]:
        r = self.recipe
        tower = list(self.clip.visual.named_parameters())
        matrices = [p for name, p in tower if "resblocks" in name and p.ndim == 2]
        rest = [p for name, p in tower if not ("resblocks" in name and p.ndim == 2)]
        self.base_lrs = [r.lr_matrix, r.lr_other, r.lr_rows]
        return [
            Muon(matrices, r.lr_matrix, 0.0, self.dtype),
            torch.optim.AdamW(rest, lr=r.lr_other, betas=(0.9, 0.98), weight_decay=0.0),
            torch.optim.AdamW([self.rows], lr=r.lr_rows, betas=(0.9, 0.98), weight_decay=r.weight_decay),
        ]

    def encode(self, texts: list[str]) -> Tensor:
        """Normalised features [N, d]."""
        table = torch.cat((self.fixed, self.rows))
        return F.normalize(encode_text(self.clip, table, compact_ids(texts, self.row_of), self.dtype), dim=-1)

    def _photographs(self, progress: float) -> tuple[Tensor, list[int]]:
        """Normalised features [B, d] of views of random photographs, and their classes."""
        r = self.recipe
        count = min(r.photos, len(self.share))  # without replacement
        rows = torch.multinomial(self.share, count, generator=self.generator)
        views = torch.stack([random_view(self.photos.pictures[i], self.generator) for i in rows.tolist()])
        keep = None
        if progress < r.full_from:
            chance = torch.rand(count, _PATCHES, generator=self.generator)
            keep = chance.topk(round(r.patch_share * _PATCHES), dim=1).indices
        features = encode_image(self.clip, (views - MEAN) / STD, keep, self.dtype)
        return F.normalize(features, dim=-1), self.photos.labels[rows].tolist()

    def _contrast(self, left: Tensor, right: Tensor, true: Tensor, own: Tensor) -> Tensor:
        """Cross-entropy of left [B, d] over right [U, d]; own [B, U] has one positive a row, and others that are true
        are neither positive nor negative."""
        logits = (self.recipe.scale * left @ right.t()).masked_fill(true & ~own, float("-inf"))
        return F.cross_entropy(logits, own.float().argmax(1))

    def losses(self, progress: float) -> dict[str, Tensor]:
        """The parts of the loss of a step: photographs against names and facts, names against facts, what is held."""
        r, names = self.recipe, self.photos.names
        photo, labels = self._photographs(progress)
        chosen = torch.randint(len(self.held.pictures), (r.scenes,), generator=self.generator)
        hold, agree = self.held.loss(self.clip, chosen, self.dtype)

        template = self.rng.choice(_PLAIN if self.rng.random() < 0.7 else templates.FULL80)
        said = [fact_phrase(names[i], self.rng) for i in labels]
        picked = torch.randperm(len(names), generator=self.generator)[: r.pool]
        told = [fact_phrase(names[i], self.rng) for i in picked.tolist()]
        texts = [template.replace("{}", name) for name in names]
        texts += [self.rng.choice(_PLAIN).replace("{}", phrase) for phrase, _ in said + told]
        name, fact, tale = self.encode(texts).split((len(names), len(said), len(told)))

        place = torch.searchsorted(self.seen, torch.tensor(labels))
        by_name = F.cross_entropy(r.scale * photo @ name[self.seen].t(), place)

        true = torch.tensor([[stated <= self.facts[i] for _, stated in said] for i in labels])
        own = torch.eye(len(labels), dtype=torch.bool)
        by_fact = 0.5 * (self._contrast(photo, fact, true, own) + self._contrast(fact, photo, true.t(), own))

        # Names of all classes, the left-out ones too, move towards facts; the facts stay where photographs put them.
        tale, mine = tale.detach(), name[picked]
        true = torch.tensor([[stated <= facts for facts in self.facts] for _, stated in told])
        own, same = F.one_hot(picked, len(names)).bool(), torch.eye(len(picked), dtype=torch.bool)
        by_text = 0.5 * (self._contrast(tale, name, true, own) + self._contrast(mine, tale, true.t()[picked], same))
        return {"name": by_name, "fact": by_fact, "text": by_text, "hold": hold, "agree": agree}

    def step(self, progress: float) -> dict[str, float]:
        """One step at `progress` (0..1) of the schedule; returns the parts of the loss."""
        r = self.recipe
        parts = self.losses(progress)
        loss = parts["name"] + parts["fact"] + parts["text"] + r.hold * parts["hold"] + r.agree * parts["agree"]
        done = progress * r.steps
        factor = min(1.0, (done + 1) / r.warmup) * 0.5 * (1 + math.cos(math.pi * progress))
        for optimizer, lr in zip(self.optimizers, self.base_lrs, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(r.ema, (1 + done) / (10 + done))
        with torch.no_grad():
            for name, p in self._named():
                self.average[name].lerp_(p, 1 - decay)
        return {key: value.item() for key, value in parts.items()}

    def clip_state(self) -> dict[str, Tensor]:
        """fp16 state dict of clip.model.CLIP, of averaged weights."""
        state = {key: value.detach().clone() for key, value in self.clip.state_dict().items()}
        state.update({key: value for key, value in self.average.items() if key != "rows"})
        state["token_embedding.weight"][self.new] = self.average["rows"]
        return {key: value.half().contiguous() for key, value in state.items()}

    def state(self) -> dict:
        """All that the next step depends on."""
        return {
            "dtype": str(self.dtype).removeprefix("torch."),
            "visual": self.clip.visual.state_dict(),
            "rows": self.rows.detach(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
            "captions": words_of(self.rng),
        }

    def restore(self, state: dict) -> None:
        """Continue where another trainer of the same recipe, on the same weights and photographs, was."""
        self.dtype = getattr(torch, state["dtype"])
        self.clip.visual.load_state_dict(state["visual"])
        with torch.no_grad():
            self.rows.copy_(state["rows"])
            for name, value in state["average"].items():
                self.average[name].copy_(value)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        set_words(self.rng, state["captions"])


def new_words(known: list[int]) -> list[int]:
    """Sorted ids of the tokens that captions of photographs need beyond the `known` ones."""
    texts = [*FACTS, *WORDS, GRAMMAR, *_PLAIN, *templates.FULL80]
    texts = [text.replace("{}", gap) + end for text in texts for gap, end in ((" ", ""), ("", "."))]
    return sorted({token for text in texts for token in encode(text)} - set(known))
