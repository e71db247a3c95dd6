"""A small transformer as forks of CLIP keep it for fp16 on a GPU: an attention of their own that takes part in torch's
dispatch, LayerNorms that cast, weights converted to half, and steps of a backward pass that cast too."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils.checkpoint import checkpoint


def attention_forward(query, heads, in_weight, in_bias, out_weight, out_bias):
    """As a copy of torch's own multi_head_attention_forward begins, and with casts that only a GPU needs."""
    given = (query, in_weight, in_bias, out_weight, out_bias)
    if has_torch_function(given):
        return handle_torch_function(
            attention_forward, given, query, heads, in_weight, in_bias, out_weight, out_bias
        )  # fmt: skip
    batch, length, width = query.shape
    scale = torch.tensor((width // heads) ** -0.5, dtype=torch.float16, device="cuda")
    qkv = F.linear(query.half(), in_weight.to(torch.float16), in_bias.type(torch.half))
    q, k, v = (x.reshape(batch, length, heads, -1).transpose(1, 2) for x in qkv.chunk(3, dim=-1))
    weight = F.softmax(q @ k.transpose(-2, -1) * scale, dim=-1, dtype=torch.float16)
    zero = weight.new_zeros(1, dtype=torch.half, device="cuda").type_as(weight) + torch.zeros(1).cuda().half()
    out = ((weight + zero) @ v).transpose(1, 2).reshape(batch, length, width)
    return F.linear(out.type("torch.cuda.HalfTensor"), out_weight.half(), out_bias.half().pin_memory())


class LayerNorm(nn.LayerNorm):
    """Handles fp16."""

    def forward(self, x):
        kind = x.dtype
        return super().forward(x.type(torch.float32)).type(kind)


class Cast(torch.autograd.Function):
    """The gradient goes through half precision, and through memory of a GPU."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.half().cuda() * torch.ones(1, dtype=torch.half, device="cuda")


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn, self.heads = nn.MultiheadAttention(width, heads), heads
        self.ln_1, self.ln_2 = LayerNorm(width), LayerNorm(width)
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        attn = self.attn
        weights = (attn.in_proj_weight, attn.in_proj_bias, attn.out_proj.weight, attn.out_proj.bias)
        x = x + attention_forward(self.ln_1(x), self.heads, *weights)
        return x + Cast.apply(self.fc(self.ln_2(x)))


class Tower(nn.Module):
    def __init__(self, width=32, heads=2):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(2))
        self.proj = nn.Parameter(torch.randn(width, 8))

    @property
    def dtype(self):
        return self.conv.weight.dtype

    def forward(self, image):
        x = self.conv(image.type(self.dtype)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return x[:, 0] @ self.proj


def convert_weights(model):
    def convert(layer):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.weight.data = layer.weight.data.half()
            layer.bias.data = layer.bias.data.half()
        if isinstance(layer, nn.MultiheadAttention):
            for name in ("in_proj_weight", "in_proj_bias"):
                getattr(layer, name).data = getattr(layer, name).data.half()
        if hasattr(layer, "proj"):
            layer.proj.data = layer.proj.data.half()

    model.apply(convert)


def build_model(state):
    model = Tower()
    convert_weights(model)
    model.load_state_dict(state)
    return model.eval()


def load(file, device="cuda"):
    """As `clip.load` does: a TorchScript archive, or a state dict."""
    try:
        state = torch.jit.load(file, map_location=device).eval().state_dict()
    except RuntimeError:
        state = torch.load(file, map_location=device)
    return build_model(state).to(device)
