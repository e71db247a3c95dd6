"""The second stage of training: the text tower alone, against the features of the finished image tower.

After the first stage the vectors of a prompt learner's context differ in scale and content from all that the tower has
seen. This stage rescales the residual stream to OpenAI's, and trains the tower to separate class names after such
contexts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from clip.clip import _tokenizer as bpe
from clip.model import CLIP
from torch import Tensor, nn

from .captions import Captioner, compact_ids, encode
from .clip_trainer import MEAN, STD, contrastive_loss
from .contexts import SPREAD, Misled, class_features, random_context
from .fast_clip import encode_image, encode_text, matrix_dtype
from .pairs import draw_scenes
from .render import render
from .resume import set_words, words_of
from .vocab import NOUNS

# The weights through which a block adds to the residual stream. With token rows and positions they set its scale.
_STREAM = (".attn.out_proj.weight", ".attn.out_proj.bias", ".mlp.c_proj.weight", ".mlp.c_proj.bias")


@dataclass
class TextRecipe:
    """Settings of the second stage (see the model card)."""

    steps: int = 700
    images: int = 20_480  # rendered once; the loss compares texts with their features
    captions: int = 48  # a step
    views: int = 192  # images per step that class names after contexts are compared with
    misled: int = 4  # contexts in training on random labels
    life: int = 120  # steps of such a context
    context_weight: float = 2.0
    random: float = 0.1  # weight of a context that was not trained at all
    others: float = 0.03  # weight of the classes that a misled context is not trained on
    lr: float = 6e-4
    warmup: int = 20
    weight_decay: float = 0.01
    seed: int = 0


def rescale(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """The same text tower with a residual stream `factor` times as large: every text feature stays as it is.

    Exact for blocks that normalise their input (pre-norm) and a normalised output, but for the constant in the norms.
    It matters to prompt learners: their contexts start at a fixed spread and move by a fixed learning rate.
    """
    scaled = dict(state)
    for key, value in state.items():
        in_block = key.startswith("transformer.resblocks.") and key.endswith(_STREAM)
        if in_block or key in ("token_embedding.weight", "positional_embedding"):
            scaled[key] = value * factor
    return scaled


def openai_factor(rows: Tensor) -> float:
    """The factor that gives rows [V, width] a median norm of 0.02 sqrt(width), the norm of a new context's vectors.

    OpenAI's rows have about 0.4, and a CoOp context beside them 0.02 sqrt(512) = 0.45.
    """
    return SPREAD * rows.shape[1] ** 0.5 / rows.norm(dim=1).median().item()


class TextTrainer:
    """State of the second stage; `step` advances it, `clip_state` gives weights to save."""

    def __init__(self, clip: CLIP, recipe: TextRecipe, captioner: Captioner) -> None:
        """clip: in fp32, changed in place. Renders `recipe.images` images and keeps their features."""
        self.recipe, self.captioner, self.clip = recipe, captioner, clip
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.rng = random.Random(recipe.seed)
        self.dtype = matrix_dtype()
        self.ids = captioner.vocabulary()
        self.row_of = {token: row for row, token in enumerate(self.ids)}
        self.start = self.row_of[bpe.encoder["<|startoftext|>"]]
        end = self.row_of[bpe.encoder["<|endoftext|>"]]
        self.names = [[*(self.row_of[token] for token in encode(f"{noun}.")), end] for noun in NOUNS]
        self.scale = clip.logit_scale.exp().item()
        self.factor = openai_factor(clip.token_embedding.weight.detach()[self.ids])
        clip.load_state_dict(rescale(clip.state_dict(), self.factor))
        clip.requires_grad_(False)
        self.table = nn.Parameter(clip.token_embedding.weight.detach()[self.ids].clone())
        self.optimizer = self._build_optimizer()
        self.misled = Misled(recipe.misled, self.table.shape[1], recipe.life, self.generator)
        self.features, self.shown = self._render(recipe.images)

    def _build_optimizer(self) -> torch.optim.Optimizer:
        r = self.recipe
        tower = ("transformer.", "ln_final.", "text_projection", "positional_embedding")
        trained = [p.requires_grad_(True) for n, p in self.clip.named_parameters() if n.startswith(tower)]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": r.weight_decay, "share": 1.0},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0, "share": 1.0},
            {
                "params": [self.table],
                "weight_decay": 0.0,
                "share": min(1.0, self.factor),
            },  # smaller rows, smaller steps
        ]
        return torch.optim.AdamW(groups, lr=r.lr, betas=(0.9, 0.98))

    @torch.no_grad()
    def _render(self, count: int) -> tuple[Tensor, Tensor]:
        """Normalised features [count, d] and attributes [count, A] of training scenes."""
        features, shown = [], []
        generator = torch.Generator().manual_seed(self.recipe.seed + 1)  # its own: a continued run renders again
        for low in range(0, count, 256):
            scene, attributes = draw_scenes(min(256, count - low), 1.0, generator)
            images, _ = render(scene, generator)
            features.append(F.normalize(encode_image(self.clip, (images - MEAN) / STD, None, self.dtype), dim=-1))
            shown.append(attributes)
        return torch.cat(features), torch.cat(shown)

    def _pick(self, count: int) -> Tensor:
        return torch.randint(len(self.features), (count,), generator=self.generator)

    def caption_loss(self) -> Tensor:
        """The contrastive loss of the first stage, on a batch of stored features and new captions."""
        rows = self._pick(self.recipe.captions)
        unique: dict[str, int] = {}
        owner, said = [], []
        for shown in self.shown[rows].tolist():
            text, stated = self.captioner.caption(shown, self.rng)
            if text not in unique:
                unique[text] = len(unique)
                said.append(stated)
            owner.append(unique[text])
        text = encode_text(self.clip, self.table, compact_ids(unique, self.row_of), self.dtype)
        text = F.normalize(text, dim=-1)
        owners = torch.tensor(owner)
        return contrastive_loss(self.features[rows], text, owners, self.shown[rows], torch.tensor(said), self.scale)

    def context_loss(self) -> Tensor:
        """Cross-entropy on true labels after the misled contexts, each over its own nouns, and after a random context.

        The other nouns of a misled context have a small weight, and so has the random context: the tower need not
        protect classes that a prompt is not trained on. With CLIP, too, prompts gain on base and lose on new classes.
        """
        rows = self._pick(self.recipe.views)
        other = random_context(self.table.detach(), self.rng, self.generator)
        contexts = torch.cat((self.misled.values, other[None]))
        text = class_features(self.clip, self.table, contexts, self.start, self.names)
        logits = self.scale * self.features[rows] @ text.mT
        noun = self.shown[rows, 0]
        weights = [self.recipe.others] * (len(contexts) - 1) + [self.recipe.random]
        parts = [w * F.cross_entropy(each, noun) for w, each in zip(weights, logits, strict=True)]
        for each, chosen in zip(
            logits, self.misled.nouns, strict=False
        ):  # the last context is the random one, which has no nouns of its own
            shown, label = (noun[:, None] == chosen).nonzero(as_tuple=True)
            if len(shown):
                parts.append((1 - self.recipe.others) * F.cross_entropy(each[shown][:, chosen], label))
        return torch.stack(parts).sum() / len(contexts)

    def mislead(self) -> None:
        """One step of the misled contexts against the tower as it is now."""
        contexts = self.misled.values.clone().requires_grad_(True)
        text = class_features(self.clip, self.table, contexts, self.start, self.names)
        rows = self._pick(400)
        self.misled.advance(text, self.features[rows], self.shown[rows, 0], contexts, self.scale)

    def step(self, progress: float) -> dict[str, float]:
        """One step at `progress` (0..1) of the schedule; returns the parts of the loss."""
        captions, behind = self.caption_loss(), self.context_loss()
        factor = min(1.0, (progress * self.recipe.steps + 1) / self.recipe.warmup)
        factor *= 0.5 * (1 + torch.tensor(torch.pi * progress).cos().item())
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * group["share"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        (captions + self.recipe.context_weight * behind).backward()
        self.optimizer.step()
        self.mislead()
        return {"pair": captions.item(), "behind": behind.item()}

    def clip_state(self) -> dict[str, Tensor]:
        """fp16 state dict of clip.model.CLIP."""
        state = {k: v.detach().clone() for k, v in self.clip.state_dict().items()}
        state["token_embedding.weight"][self.ids] = self.table.detach()
        return {k: v.half().contiguous() for k, v in state.items()}

    def state(self) -> dict:
        """All that the next step depends on."""
        return {
            "dtype": str(self.dtype).removeprefix("torch."),
            "clip": self.clip.state_dict(),
            "table": self.table.detach(),
            "optimizer": self.optimizer.state_dict(),
            "misled": self.misled.state(),
            "generator": self.generator.get_state(),
            "captions": words_of(self.rng),
        }

    def restore(self, state: dict) -> None:
        """Continue where another trainer of the same recipe, on the same image tower, was."""
        self.dtype = getattr(torch, state["dtype"])
        self.clip.load_state_dict(state["clip"])
        with torch.no_grad():
            self.table.copy_(state["table"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.misled.restore(state["misled"])
        self.generator.set_state(state["generator"])
        set_words(self.rng, state["captions"])
