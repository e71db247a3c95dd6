"""Image towers of timm, in open_clip's wrapper: plain ViTs and those of the EVA family, with rotary positions.

Where the rotation of queries and keys covers the patches only, prompt tokens must count as prefix tokens, which are not
rotated: they stand right after CLS, and each block's count of prefix tokens is raised while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .attention import twice_differentiable
from .changed_blocks import Changes
from .deep_prompts import Edit
from .errors import InputError


class TimmViT:
    """A ViT of timm. `visual`: open_clip's `TimmModel`, with `trunk` and `head`.

    Attention pools (SigLIP) attend to prompt tokens too; means over tokens (`avg`) leave prompt tokens out.
    """

    def __init__(self, visual: Any, rotary: bool) -> None:
        self._trunk, self._head, self._rotary = visual.trunk, visual.head, rotary
        self.width, self.depth = self._trunk.embed_dim, len(self._trunk.blocks)
        self.prefix, self.at_end = self._trunk.num_prefix_tokens, not rotary
        self.patch = round(visual.image_size[0] / self._trunk.patch_embed.num_patches**0.5)

    def change(self, changes: Changes) -> None:
        raise InputError(
            "This backbone's image tower is timm's, whose blocks take no low-rank updates or layer norms of a method: "
            "choose one of OpenAI's layout, or a method that changes no weights"
        )

    def enter(self, image: Tensor, append: Edit | None = None) -> Tensor:
        trunk = self._trunk
        x = trunk._pos_embed(trunk.patch_embed(image))
        x = x[0] if isinstance(x, tuple) else x
        return trunk.norm_pre(x if append is None else append(x))

    def lower(self, x: Tensor, until: int) -> Tensor:
        return self._blocks(x, {}, 1, until)

    def features(
        self,
        x: Tensor,
        edits: Mapping[int, Edit],
        start: int,
        prompts: slice,
        wanted: bool,
        sees: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if sees is not None:
            raise InputError("This backbone's image tower is timm's, which takes no attention mask: choose another ViT")
        x = self._trunk.norm(self._blocks(x, edits, start, self.depth))
        kept = x[:, prompts] if wanted else x[:, :0]
        if edits and self._trunk.attn_pool is None:
            rows = torch.ones(x.shape[1], dtype=torch.bool, device=x.device)
            rows[prompts] = False
            x = x[:, rows]
        with twice_differentiable():
            return self._head(self._trunk.forward_head(x)), kept

    def _blocks(self, x: Tensor, edits: Mapping[int, Edit], start: int, end: int) -> Tensor:
        with twice_differentiable():
            for b in range(start, end + 1):
                if b in edits:
                    x = edits[b](x)
                added = x.shape[1] - self._own_length
                block = self._trunk.blocks[b - 1]
                if not self._rotary:
                    x = block(x)
                else:
                    with _more_prefix_tokens(block, added):
                        x = block(x, rope=self._rotation(b))
        return x

    @property
    def _own_length(self) -> int:
        """Tokens of an image without prompts."""
        return self.prefix + self._trunk.patch_embed.num_patches

    def _rotation(self, b: int) -> Tensor | None:
        rope = self._trunk.rope
        found = rope.get_embed() if hasattr(rope, "feat_shape") else rope.get_embed(self._trunk.patch_embed.grid_size)
        return found[b - 1] if getattr(self._trunk, "rope_mixed", False) else found

    def patches(self, x: Tensor) -> Tensor:
        trunk, head = self._trunk, self._head
        if trunk.attn_pool is not None or not isinstance(trunk.fc_norm, nn.Identity) or self._map() is None:
            raise InputError(
                "This backbone's features are not a projection of single tokens (an attention pool, a mean or an MLP "
                "stands between), so its patches have no features: choose another backbone for a method that uses them"
            )
        x = trunk.norm(self._blocks(x, {}, self.depth, self.depth))
        return head(trunk.head(x[:, self.prefix :]))

    def _map(self) -> nn.Linear | None:
        """The linear map after the pool; None where the head is something else."""
        found = [m for part in (self._trunk.head, self._head) for m in part.modules() if not list(m.children())]
        maps = [m for m in found if not isinstance(m, (nn.Identity, nn.Dropout, nn.Sequential))]
        return maps[0] if len(maps) == 1 and isinstance(maps[0], nn.Linear) else None

    def projection(self) -> Tensor | None:
        """As in `ImageTower`; also None where the head is an MLP."""
        linear = self._map()
        return None if linear is None else linear.weight.T


@contextmanager
def _more_prefix_tokens(block: nn.Module, added: int) -> Iterator[None]:
    attention: Any = block.attn
    own = attention.num_prefix_tokens
    attention.num_prefix_tokens = own + added
    try:
        yield
    finally:
        attention.num_prefix_tokens = own


def timm_vit(visual: Any) -> TimmViT | None:
    """The tower of open_clip's `TimmModel`, or None for a model without tokens of one width (ConvNeXt, FastViT)."""
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    trunk = visual.trunk
    if not isinstance(trunk, (Eva, VisionTransformer)) or not hasattr(trunk.patch_embed, "num_patches"):
        return None
    return TimmViT(visual, rotary=getattr(trunk, "rope", None) is not None)
