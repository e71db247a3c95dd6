import copy

import pytest
import torch

from clipkit import ContextPrompts, ImageEncoder, TextEncoder, normalize, openai_clip

NAMES = ["cat", "steam locomotive"]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def cosine(a, b):
    return (normalize(a.float()) * normalize(b.float())).sum(-1)


def run(model, device, gen):
    """Prompted features of both towers, and the gradient of the shared prompt tokens."""
    model = copy.deepcopy(model).to(device)
    deep = torch.randn(2, 128, generator=gen).to(device).requires_grad_()
    image = torch.randn(2, 3, 32, 32, generator=gen).to(device)
    prompts = ContextPrompts(model, NAMES, 2)
    text = TextEncoder(model)(prompts(deep), prompts.eot, insert={2: deep, 3: deep})
    visual = ImageEncoder(model)(image, replace={1: deep, 2: deep, 3: deep})
    logits = 10 * normalize(visual.float()) @ normalize(text.float()).T
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1], device=device)).backward()
    return text.detach().cpu(), visual.detach().cpu(), deep.grad.cpu()


@pytest.mark.parametrize("device", DEVICES)
def test_autocast_bf16(vit, gen, device):
    expected = run(vit, "cpu", copy.deepcopy(gen.clone_state()))
    with torch.autocast(device, dtype=torch.bfloat16):
        text, visual, grad = run(vit, device, gen)
    assert text.dtype == visual.dtype == torch.bfloat16
    assert cosine(text, expected[0]).min() > 0.99
    assert cosine(visual, expected[1]).min() > 0.99
    assert cosine(grad.flatten(), expected[2].flatten()) > 0.95


@pytest.mark.parametrize("device", DEVICES)
def test_fp16_storage(vit, gen, device):
    expected = run(vit, "cpu", copy.deepcopy(gen.clone_state()))
    half = copy.deepcopy(vit)
    openai_clip.convert_weights(half)
    text, visual, grad = run(half, device, gen)
    assert text.dtype == visual.dtype == torch.float16
    assert cosine(text, expected[0]).min() > 0.999
    assert cosine(visual, expected[1]).min() > 0.999
    assert cosine(grad.flatten(), expected[2].flatten()) > 0.99


@pytest.mark.parametrize("device", DEVICES)
def test_encode_texts_stays_fp32_under_autocast(vit, device):
    encoder = TextEncoder(copy.deepcopy(vit).to(device))
    with torch.autocast(device, dtype=torch.bfloat16):
        features = encoder.encode_texts(NAMES)
    torch.testing.assert_close(features.cpu(), TextEncoder(vit).encode_texts(NAMES), atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu(vit, gen):
    for ours, expected in zip(run(vit, "cuda", gen.clone_state()), run(vit, "cpu", gen), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)
