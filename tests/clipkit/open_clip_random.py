"""Random models of open_clip's own classes, with embeddings that are large enough to matter."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn


def random_model(settings: dict, seed: int = 0, hf_config: object = None) -> nn.Module:
    """The model of a model_cfg, in eval mode. hf_config: of its text tower of transformers, in place of the hub's."""
    from open_clip import hf_model
    from open_clip.model import CLIP, CustomTextCLIP

    settings = copy.deepcopy(settings)
    custom = settings.pop("custom_text", False) or "hf_model_name" in settings["text_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            if hf_config is not None:
                settings["text_cfg"]["hf_model_pretrained"] = False
                patch.setattr(hf_model.AutoConfig, "from_pretrained", lambda name: hf_config)
            model = (CustomTextCLIP if custom else CLIP)(**settings)
        for name, value in model.named_parameters():
            if name.endswith(
                (
                    "token_embedding.weight",
                    "positional_embedding",
                    "pos_embed",
                    "class_embedding",
                    "position_embeddings.weight",
                )
            ):
                nn.init.normal_(value, std=0.3)
            elif value.ndim == 2 and value.std() < 0.05:  # timm's and BERT's: nearly nothing at first
                nn.init.normal_(value, std=0.1)
            elif value.ndim == 1 and not name.startswith("logit"):  # biases and norms, many of them zero at first
                nn.init.normal_(value, mean=float(value.detach().mean()), std=0.1)
    return model.eval().requires_grad_(False)


def small(settings: dict, layers: int = 1) -> dict:
    """The same structure at a small size: one block, two heads of the same width, two patches a side."""
    found = copy.deepcopy(settings)
    vision, text = found["vision_cfg"], found["text_cfg"]
    found["embed_dim"] = 64
    if "timm_model_name" not in vision:
        if isinstance(vision.get("layers", 12), list):
            vision.update(layers=[1, 1, 1, 1], width=32, image_size=64)
        else:
            vision.update(layers=layers, width=2 * vision.get("head_width", 64), image_size=2 * vision["patch_size"])
    if "hf_model_name" not in text:
        head = text.get("width", 512) // text.get("heads", 8)
        text.update(layers=layers, width=2 * head, heads=2)
    return found
