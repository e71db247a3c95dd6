"""CLIP's ViT with places for prompts within its blocks: the names of its weights are OpenAI's, the rest is not."""

from collections import OrderedDict

import torch
from torch import nn


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class LayerNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.type(torch.float32)).type(x.dtype)


class ResidualAttentionBlock(nn.Module):
    """`place`: tokens that are overwritten by the block's prompts, counted from the front (text) or the end (image)."""

    def __init__(self, d_model, n_head, attn_mask=None, n_prompts=0, text=False):
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, n_head)
        self.ln_1 = LayerNorm(d_model)
        layers = [("c_fc", nn.Linear(d_model, d_model * 4)), ("gelu", QuickGELU())]
        self.mlp = nn.Sequential(OrderedDict([*layers, ("c_proj", nn.Linear(d_model * 4, d_model))]))
        self.ln_2 = LayerNorm(d_model)
        self.attn_mask, self.n_prompts, self.text = attn_mask, n_prompts, text

    def forward(self, x, prompts=None):
        if prompts is not None:
            n = self.n_prompts
            prompts = prompts.to(x.dtype).unsqueeze(1).expand(-1, x.shape[1], -1)
            x = torch.cat([x[:1], prompts, x[1 + n :]]) if self.text else torch.cat([x[: len(x) - n], prompts])
        y = self.ln_1(x)
        mask = None if self.attn_mask is None else self.attn_mask.to(x.dtype)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, layers, heads, attn_mask=None, n_prompts=0, text=False):
        super().__init__()
        self.width = width
        blocks = [ResidualAttentionBlock(width, heads, attn_mask, n_prompts, text) for _ in range(layers)]
        self.resblocks = nn.ModuleList(blocks)

    def forward(self, x, deep=()):
        """deep: the prompts of block 1, 2, ..., as far as there are any."""
        for i, block in enumerate(self.resblocks):
            x = block(x, deep[i - 1] if 0 < i <= len(deep) else None)
        return x


class VisionTransformer(nn.Module):
    def __init__(self, resolution, patch, width, layers, heads, output_dim, n_prompts):
        super().__init__()
        self.input_resolution = resolution
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((resolution // patch) ** 2 + 1, width))
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(width, layers, heads, n_prompts=n_prompts)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, output_dim))

    def forward(self, x, shared, deep):
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        cls = self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([cls, x], dim=1) + self.positional_embedding.to(x.dtype)
        x = torch.cat([x, shared.to(x.dtype).expand(x.shape[0], -1, -1)], dim=1)
        x = self.transformer(self.ln_pre(x).permute(1, 0, 2), deep).permute(1, 0, 2)
        return self.ln_post(x[:, 0, :]) @ self.proj


class CLIP(nn.Module):
    def __init__(self, sizes, design_details):
        super().__init__()
        n = design_details["maple_length"]
        mask = torch.full((sizes["context"], sizes["context"]), float("-inf")).triu(1)
        self.visual = VisionTransformer(
            sizes["resolution"], sizes["patch"], sizes["vision"], sizes["vision_layers"], sizes["vision"] // 64,
            sizes["embed"], n,
        )  # fmt: skip
        self.transformer = Transformer(sizes["text"], sizes["text_layers"], sizes["text"] // 64, mask, n, text=True)
        self.token_embedding = nn.Embedding(sizes["vocab"], sizes["text"])
        self.positional_embedding = nn.Parameter(torch.empty(sizes["context"], sizes["text"]))
        self.ln_final = LayerNorm(sizes["text"])
        self.text_projection = nn.Parameter(torch.empty(sizes["text"], sizes["embed"]))
        self.logit_scale = nn.Parameter(torch.ones([]))

    @property
    def dtype(self):
        return self.visual.conv1.weight.dtype


def build_model(state_dict: dict, design_details):
    grid = round((state_dict["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    patch = state_dict["visual.conv1.weight"].shape[-1]
    sizes = {
        "embed": state_dict["text_projection"].shape[1],
        "resolution": patch * grid,
        "patch": patch,
        "vision": state_dict["visual.conv1.weight"].shape[0],
        "vision_layers": len({k.split(".")[3] for k in state_dict if k.startswith("visual.transformer.resblocks")}),
        "context": state_dict["positional_embedding"].shape[0],
        "vocab": state_dict["token_embedding.weight"].shape[0],
        "text": state_dict["ln_final.weight"].shape[0],
        "text_layers": len({k.split(".")[2] for k in state_dict if k.startswith("transformer.resblocks")}),
    }
    model = CLIP(sizes, design_details).half()
    model.load_state_dict(state_dict)
    return model.eval()
