"""A trained method as a function of pixels: the loader's numbers, real gradients, nothing left changed."""

from __future__ import annotations

import pytest
import torch
from clip.model import convert_weights

from attacks import AttackSettings, PixelModel, Surrogate, attack_pictures, evaluation
from dassl.utils import InputError
from datasets.attacked.pictures import base_pictures, picture_transform

METHODS = (
    "ZeroshotCLIP", "CoOp", "CoCoOp", "KgCoOp", "ProGrad", "TCP", "VPT", "IVLP", "MaPLe", "PromptSRC", "CoPrompt",
    "MMRL", "ANPrompt", "NLPrompt", "JoAPR", "DPSEP", "VisPrompt", "PTNL", "DeFT", "CoOpSAR", "TextRefiner", "TAC",
    "MMRLpp", "ProMetaR", "MMA", "CoOpDePT", "MaPLeDePT", "CoOpATPrompt", "TipAdapter", "TipAdapterF", "CLIPLoRA",
    "TwoSFS", "LPpp",
)  # fmt: skip
NEARLY = ("MMA",)  # where its parameters need no gradients torch takes another kernel: the last bit may differ
BLOCKS = ("MMRL", "ANPrompt")  # may keep the lower blocks from the gradient; then they must say so


def pictures(trainer) -> torch.Tensor:
    clean = base_pictures(trainer.dm.dataset.test, picture_transform(trainer.cfg))
    return torch.stack([clean[i] for i in range(len(clean))])


@pytest.mark.parametrize("method", METHODS)
def test_the_base_picture_gives_the_loaders_logits_bit_for_bit(tiny, tmp_path, method):
    trainer = tiny.trainer(tmp_path, method)
    batch = next(iter(trainer.test_loader))
    u8 = pictures(trainer)[: len(batch["img"])]
    x01 = u8.float() / 255
    with PixelModel(trainer) as logits:
        assert torch.equal((x01 - logits.mean) / logits.std, batch["img"])
        found = logits(x01).detach()
    trainer.set_model_mode("eval")
    image, _ = trainer.parse_batch_test(batch)
    with torch.no_grad():
        again = trainer.model_inference(image).float()
    assert torch.equal(again, found) or (method in NEARLY and torch.allclose(again, found, atol=1e-6))


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_real(tiny, tmp_path, method):
    """Along a random direction, against the difference quotient; a method that blocks them is refused."""
    trainer = tiny.trainer(tmp_path, method)
    x, label = pictures(trainer)[:4].float() / 255, torch.tensor([0, 1, 2, 0])
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    with PixelModel(trainer) as logits:
        evaluate = evaluation(logits, label)
        try:
            gradient = evaluate(x, 0, 0, True).gradient
        except InputError as error:
            assert method in BLOCKS and "no gradient with respect to" in str(error)
            return
        h = 2e-3
        ahead, behind = (evaluate(x + s * h * direction, 0, 0, False).loss for s in (1, -1))
    slope = (gradient * direction).flatten(1).sum(1).double()
    torch.testing.assert_close((ahead - behind) / (2 * h), slope, rtol=0.05, atol=0.02 * slope.abs().max().item())


def test_everything_is_put_back(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "CoOp")
    trainer.set_model_mode("train")
    flags = [p.requires_grad for p in trainer.model.parameters()]
    with pytest.raises(RuntimeError, match="inside"), PixelModel(trainer) as logits:
        assert not trainer.model.training and not any(p.requires_grad for p in trainer.model.parameters())
        logits(pictures(trainer)[:2].float() / 255)
        raise RuntimeError("inside")
    assert trainer.model.training and [p.requires_grad for p in trainer.model.parameters()] == flags and all(flags)
    assert trainer._kept == {}


def test_half_precision_is_attacked_in_fp32_and_comes_back(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "CoOp")
    plain = {name: p.clone() for name, p in trainer.clip.named_parameters()}
    convert_weights(trainer.clip)
    half = {name for name, p in trainer.clip.named_parameters() if p.dtype == torch.float16}
    trainer.precision = "fp16"
    try:
        x = pictures(trainer)[:3].float() / 255
        with PixelModel(trainer) as logits:
            assert trainer.precision == "fp32"
            assert all(p.dtype == torch.float32 for p in trainer.clip.parameters())
            out = logits(x)
            assert out.dtype == torch.float32
        assert trainer.precision == "fp16"
        assert {name for name, p in trainer.clip.named_parameters() if p.dtype == torch.float16} == half and half
        # this CLIP's weights are halves from the start, so nothing was lost
        assert all(torch.equal(p.float(), plain[name]) for name, p in trainer.clip.named_parameters())
    finally:
        trainer.clip.float()
        trainer.precision = "fp32"


def test_text_is_encoded_once_an_attack(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "CoOp")
    calls, real = [], trainer.encode_text
    monkeypatch.setattr(trainer, "encode_text", lambda: calls.append(1) or real())
    u8 = pictures(trainer)
    label = torch.tensor([item.label for item in trainer.dm.dataset.test])
    with PixelModel(trainer) as logits:
        attack_pictures(AttackSettings(steps=5), logits, u8, label, range(len(u8)))
    assert len(calls) == 1


def test_an_own_hook_wins(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "CoOp")
    trainer.pixel_logits = lambda x01: x01.flatten(1)[:, :3]
    x = torch.rand(2, 3, 16, 16)
    with PixelModel(trainer) as logits:
        assert torch.equal(logits(x), x.flatten(1)[:, :3])


def test_pixels_under_instance_norm_are_refused(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "CoOp", {"INPUT.TRANSFORMS": ("normalize", "instance_norm")})
    with pytest.raises(InputError, match="instance_norm"):
        PixelModel(trainer)


def test_the_surrogate_is_zero_shot_clip(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ZeroshotCLIP")
    given = trainer.cfg.INPUT
    stats = {"mean": given.PIXEL_MEAN, "std": given.PIXEL_STD}
    surrogate = Surrogate(trainer.clip, trainer.dm.dataset.classnames, **stats)
    x = pictures(trainer).float() / 255
    with PixelModel(trainer) as logits:
        torch.testing.assert_close(surrogate(x), logits(x), atol=1e-4, rtol=1e-4)
    facts = surrogate.facts()
    other = Surrogate(trainer.clip, trainer.dm.dataset.classnames, "a drawing of a {}.", **stats).facts()
    assert facts["weights"] == other["weights"] and facts["id"] != other["id"]
    with pytest.raises(InputError, match="PROMPT"):
        Surrogate(trainer.clip, ["x"], "a photo")
