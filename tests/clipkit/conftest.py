import pytest
import torch
from clip.model import CLIP


def tiny_clip(vision_layers, vision_width, patch, seed=0):
    """A random CLIP whose tokens and positions are large enough to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = 32 if patch else 64
        model = CLIP(32, size, vision_layers, vision_width, patch, 77, 49408, 128, 2, 3)
        torch.nn.init.normal_(model.token_embedding.weight, std=0.5)
        torch.nn.init.normal_(model.positional_embedding, std=0.3)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.running_mean, std=0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def vit():
    return tiny_clip(3, 128, 8)


@pytest.fixture(scope="session")
def vit64():
    """The same weights in fp64."""
    return tiny_clip(3, 128, 8).double()


@pytest.fixture(scope="session")
def resnet():
    return tiny_clip((1, 1, 1, 1), 16, None)


@pytest.fixture
def gen():
    return torch.Generator().manual_seed(1)
