import torch
from torch import nn


class CLIP(nn.Module):
    """Colours and letters to 32 numbers; enough for a trainer to run."""

    def __init__(self, design_details):
        super().__init__()
        assert "trainer" in design_details
        torch.manual_seed(0)
        self.dtype = torch.float32
        self.visual = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 32))
        self.token_embedding = nn.Embedding(100, 32)
        self.ln_final = nn.LayerNorm(32)
        self.logit_scale = nn.Parameter(torch.tensor(3.0))


def build_model(state_dict, design_details):
    return CLIP(design_details)
