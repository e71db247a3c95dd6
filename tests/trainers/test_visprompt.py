"""VisPrompt: where it starts, what it learns, which item gets which loss, and that chunks change no number.

Its equations are compared with a plain implementation in test_paper_losses.py.
"""

from __future__ import annotations

import json
import math

import pytest
import torch
from clip.model import CLIP
from helpers import FITTING
from torch.nn import functional as F

from clipkit import ImageEncoder, InputError
from trainers.label_noise.prompt_ot import ot_decision
from trainers.parts.chunked_text import chunked_loss
from trainers.parts.visprompt_losses import smoothed_sce
from trainers.parts.visual_guidance import PromptLearner
from trainers.parts.visual_tokens import FeatureTokens, patch_tokens, with_quarters

N = "TRAINER.VISPROMPT."
NOISE = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}


def built(tiny, folder, pairs=None, method: str = "VisPrompt"):
    trainer = tiny.trainer(folder, method, pairs)
    trainer.epoch, trainer.batch_idx, trainer.num_batches = 0, 0, 10**6
    trainer.set_model_mode("train")
    return trainer


def batch(size: int = 4):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(size, 3, 16, 16, generator=generator), torch.arange(size) % 3


def moved(trainer):
    """Away from the start, where the image adds nothing."""
    noise = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=noise)
    return trainer


def step(trainer, image, label) -> dict[str, torch.Tensor]:
    """The gradients of one step."""
    trainer.forward_backward({"img": image, "label": label})
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters()}


# ---------------------------------------------------------------------- the start


@pytest.mark.parametrize("source", ["patch", "global"])
@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_starts_as_coop(tiny, tmp_path, source, position):
    ours = built(tiny, tmp_path, {N + "VIS_SOURCE": source, N + "CLASS_TOKEN_POSITION": position})
    coop = built(tiny, tmp_path, {"TRAINER.COOP.CLASS_TOKEN_POSITION": position}, "CoOp")
    assert torch.equal(ours.model.ctx, coop.model.ctx)
    image, label = batch()
    for trainer in (ours, coop):
        trainer.set_model_mode("eval")
    with torch.no_grad():
        expected = coop.model_inference(image)
        torch.testing.assert_close(ours.model_inference(image), expected, atol=5e-6, rtol=1e-6)
    ours.set_model_mode("train")  # with dropout: there is nothing to drop yet
    logits, terms = ours.loss(image, label)
    torch.testing.assert_close(logits, expected, atol=5e-6, rtol=1e-6)
    assert terms["reg"] == 0 and set(terms) == {"ce", "reg"}


def test_what_learns_when(tiny, tmp_path):
    """W_o and FiLM's shift move in the first step, what lies behind them from the second."""
    trainer, data = built(tiny, tmp_path, {"OPTIM.WARMUP_EPOCH": -1}), batch()
    first, second = step(trainer, *data), step(trainer, *data)
    at_once = {"ctx", "guidance.w_o.weight", "guidance.w_o.bias"}
    at_once |= {"guidance.modulation.linear2.weight", "guidance.modulation.linear2.bias"}
    assert {name for name, gradient in first.items() if gradient.abs().max() > 0} == at_once
    assert all(gradient.abs().max() > 0 for gradient in second.values())
    assert all(p.grad is None for p in trainer.clip.parameters())


def test_the_image_s_part_of_the_first_step_is_of_the_size_of_the_context_s(tiny, tmp_path):
    """The image's part of a step is less than 5 times the context's; with W_v as linear layers start, 40 times."""
    sizes = {N + "VISUAL_HIDDEN_DIM": 512, N + "ATTENTION_HEADS": 8, "OPTIM.WARMUP_EPOCH": -1, "OPTIM.LR": 1e-3}
    trainer, (image, label) = built(tiny, tmp_path, sizes), batch()
    trainer.set_model_mode("eval")
    before = trainer.model.ctx.detach().clone()
    step(trainer, image, label)
    with torch.no_grad():
        delta = trainer.model(*trainer.look(image))
    attended = trainer.model.guidance.w_o.weight.norm()  # 0 before the step
    assert 0 < delta.norm(dim=(1, 2)).mean() < 5 * (trainer.model.ctx - before).norm() and attended > 0


RN50, VIT_B16 = (512, 1024), (512, 512)  # d_t, d


@pytest.mark.parametrize(("d_t", "d"), [RN50, VIT_B16])
@pytest.mark.parametrize(
    ("pairs", "gates", "film"),
    [({}, 1, True), ({N + "GATE": "token"}, 16, True), ({N + "GATE": "thresh", N + "FILM": False}, 1, False)],
)
def test_size_by_formula(tiny, tmp_path, d_t, d, pairs, gates, film):
    sizes = {N + "VISUAL_HIDDEN_DIM": 512, N + "ATTENTION_HEADS": 8}
    trainer, h = built(tiny, tmp_path, sizes | pairs), 512
    learner = PromptLearner(torch.zeros(16, d_t), trainer.model.prompts, d, trainer.method_cfg())
    out = 2 * d_t * film + gates
    expected = 16 * d_t + d_t * h + 2 * d * h + (h + 1) * d_t  # ctx, W_q, W_k and W_v, W_o with its bias
    expected += 2 * (d_t + d + d) + d * (d // 16) + (d // 16 + 1) * out  # layer norms, W_1, W_2 with b
    assert sum(p.numel() for p in learner.parameters()) == expected
    assert all(p.dtype == torch.float32 for p in learner.parameters())
    if not pairs and d == 1024:
        assert expected == 1_718_849


# ---------------------------------------------------------------------- what is seen


@pytest.fixture(scope="module")
def resnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIP(32, 96, (1, 1, 1, 1), 16, None, 77, 49408, 64, 1, 2)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def test_vit_patches(tiny, tmp_path):
    clip, image = built(tiny, tmp_path).clip, batch()[0]
    encoder = ImageEncoder(clip)
    features, patches = encoder.with_patches(image)
    assert torch.equal(features, encoder(image)) and patches.shape == (4, 4, 32)
    torch.testing.assert_close(features, clip.encode_image(image), atol=1e-5, rtol=0)
    seen = []
    hook = clip.visual.transformer.register_forward_hook(lambda *found: seen.append(found[2]))
    clip.encode_image(image)
    hook.remove()
    expected = clip.visual.ln_post(seen[0].permute(1, 0, 2))[:, 1:] @ clip.visual.proj
    torch.testing.assert_close(patches, expected, atol=1e-5, rtol=0)
    tokens = patch_tokens(encoder, image)
    assert torch.equal(tokens[:, 0], features) and torch.equal(tokens[:, 1:], patches)


@torch.no_grad()
def test_resnet_patches_are_what_its_pool_averages(resnet):
    """With a query of zero the pool is a plain mean over the cells and their mean at position 0."""
    encoder, image = ImageEncoder(resnet), torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    features, patches = encoder.with_patches(image)
    assert torch.equal(features, resnet.encode_image(image)) and patches.shape == (2, 9, 32)
    pool = resnet.visual.attnpool
    kept = [pool.q_proj.weight.clone(), pool.q_proj.bias.clone(), pool.positional_embedding[0].clone()]
    pool.q_proj.weight.zero_(), pool.q_proj.bias.zero_()
    pool.positional_embedding[0] = pool.positional_embedding[1:].mean(0)  # then token 0's value is the cells' mean
    mean = encoder(image)
    pool.q_proj.weight.copy_(kept[0]), pool.q_proj.bias.copy_(kept[1])
    pool.positional_embedding[0] = kept[2]
    torch.testing.assert_close(patches.mean(1), mean, atol=1e-5, rtol=1e-4)
    assert patches.std(1).mean() > 1e-3


def test_coarse_scale_and_parts_of_a_feature():
    grid = torch.arange(16.0).view(1, 16, 1)
    tokens = with_quarters(torch.cat([torch.zeros(1, 1, 1), grid], dim=1))
    assert tokens.shape == (1, 21, 1) and tokens[0, 17:, 0].tolist() == [2.5, 4.5, 10.5, 12.5]
    parts, f = FeatureTokens(32, 8, 6, whole=True), torch.randn(3, 32)
    found = parts(f)
    assert found.shape == (3, 9, 6)
    torch.testing.assert_close(found[:, 2], f[:, 8:12] @ parts.group.weight.t() + parts.embedding[2])
    torch.testing.assert_close(found[:, 8], f @ parts.whole.weight.t())


def test_each_image_has_its_own_texts(tiny, tmp_path):
    trainer, image = moved(built(tiny, tmp_path)), batch()[0]
    trainer.set_model_mode("eval")
    with torch.no_grad():
        together = trainer.model_inference(image)
        for one, row in zip(image, together, strict=True):
            torch.testing.assert_close(trainer.model_inference(one[None])[0], row, atol=1e-4, rtol=1e-5)
        f, tokens = trainer.look(image)
        delta = trainer.model(f, tokens)
        assert (delta[0] - delta[1]).abs().max() > 1e-4
        swapped = trainer.model(f, tokens.flip(0))
    assert (swapped - delta).abs().max() > 1e-4  # the patches matter, not the feature alone


def test_strength_and_dropout(tiny, tmp_path):
    trainer = moved(built(tiny, tmp_path, {N + "PROMPT_DROPOUT": 0.25}))
    mask = trainer.dropout_mask(64)
    assert mask.unique().tolist() == pytest.approx([0.0, 4 / 3]) and abs((mask == 0).float().mean() - 0.25) < 0.01
    assert torch.equal(trainer.dropout_mask(64), mask)
    trainer.batch_idx = 1
    assert not torch.equal(trainer.dropout_mask(64), mask)
    trainer.set_model_mode("eval")
    assert trainer.dropout_mask(64) is None
    guidance = trainer.model.guidance
    assert guidance.gate(torch.zeros(1)) * guidance.weight == pytest.approx(0.45)
    hard = moved(built(tiny, tmp_path, {N + "GATE": "thresh"})).model.guidance
    g = torch.tensor([-1.0, 1.0], requires_grad=True)
    gate = hard.gate(g)
    gate.sum().backward()
    assert gate.tolist() == [0.0, pytest.approx(1 / (1 + math.exp(-1)))]
    torch.testing.assert_close(g.grad, torch.full((2,), 0.196612), atol=1e-5, rtol=0)


# ---------------------------------------------------------------------- chunks


@pytest.mark.parametrize("purify", ["none", "ot_batch"])
@pytest.mark.parametrize("position", ["end", "middle"])
def test_chunks_change_no_number(tiny, tmp_path, purify, position, monkeypatch):
    """Against one pass over all images, and against autograd through it without any chunking."""
    pairs = {N + "PURIFY": purify, N + "REG_E": 0.1, N + "CLASS_TOKEN_POSITION": position}
    image, label = batch(5)
    found, losses = {}, {}
    for name, sequences in (("one image", 1), ("two images", 8), ("all", 100), ("by size", 0)):
        trainer = moved(built(tiny, tmp_path / name, pairs | {N + "TEXT_CHUNK": sequences}))
        assert trainer.images_at_a_time == {1: 1, 8: 2, 100: 33}.get(sequences, trainer.images_at_a_time)
        losses[name] = sum(trainer.loss(image, label)[1].values())
        found[name] = step(trainer, image, label)
    trainer = moved(built(tiny, tmp_path / "autograd", pairs))
    monkeypatch.setattr("trainers.visprompt.chunked_loss", lambda x, size, part, scale: part(slice(0, len(x)), x))
    losses["autograd"] = sum(trainer.loss(image, label)[1].values())
    found["autograd"] = step(trainer, image, label)
    for name in found:
        torch.testing.assert_close(losses[name], losses["autograd"], atol=1e-5, rtol=1e-6)
        for key, expected in found["autograd"].items():
            size = expected.abs().max().item()
            torch.testing.assert_close(found[name][key], expected, atol=2e-5 * size, rtol=1e-4, msg=f"{name} {key}")


def test_a_chunk_s_gradient_is_taken_before_the_next_chunk():
    """Nothing of a chunk is held when the next one begins, and the scale of the loss leaves no trace."""
    alive = []

    def part(rows: slice, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert not [node for node in alive if node() is not None]
        logits = own.exp()
        alive.append(__import__("weakref").ref(logits))
        return (logits**2).sum(), logits

    x = torch.randn(5, 3, requires_grad=True)
    for scale in (1.0, 1024.0):
        total, logits = chunked_loss(x, 2, part, scale)
        x.grad = None
        (3 * total).backward()
        torch.testing.assert_close(total, (2 * x).exp().sum())
        torch.testing.assert_close(logits, x.exp())
        torch.testing.assert_close(x.grad, 6 * (2 * x).exp())
    with torch.no_grad():
        assert not chunked_loss(x, 2, part)[0].requires_grad


# ---------------------------------------------------------------------- which item gets which loss


def test_loss_of_each_part(tiny, tmp_path):
    trainer, (image, label) = moved(built(tiny, tmp_path, {N + "PROMPT_DROPOUT": 0.0})), batch()
    with torch.no_grad():
        log_p = trainer.model_inference(image).log_softmax(1)
    p_y = log_p.exp()[torch.arange(4), label]
    values = {}
    for part in ("clean", "noisy"):
        (name, value), *_ = trainer.loss(image, label, part)[1].items()
        values[part] = (name, value.item())
    assert values["clean"] == ("ce", pytest.approx(-p_y.log().mean().item(), abs=1e-5))
    assert values["noisy"] == ("gce", pytest.approx(((1 - p_y**0.7) / 0.7).mean().item(), abs=1e-4))


def test_symmetric_cross_entropy_of_the_released_code():
    logits, label = torch.randn(6, 100, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    p_y = logits.softmax(1)[torch.arange(6), label]
    value = smoothed_sce(logits, label, 0.0, 1.0)
    assert value.item() == pytest.approx(math.log(100 * 1e6) * (1 - p_y).mean().item(), rel=1e-4)
    assert math.log(100 * 1e6) == pytest.approx(18.4, abs=0.03)
    both = smoothed_sce(logits, label, 0.5, 1.0)
    torch.testing.assert_close(both, value + 0.5 * F.cross_entropy(logits, label))


def test_the_decision_is_the_transport_s_over_the_whole_list(tiny, tmp_path):
    trainer = moved(built(tiny, tmp_path, NOISE))
    decision = trainer.decide()
    assert trainer.model.training and len(decision.clean) == len(trainer.training_list) == 12
    trainer.set_model_mode("eval")
    images = torch.stack([trainer.training_list.loader.dataset[i]["img"] for i in range(12)])
    with torch.no_grad():
        prob = trainer.model_inference(images).softmax(1)
    expected = ot_decision(prob, trainer.training_list.label, 0.01, "prob")
    assert torch.equal(decision.clean, expected.clean)
    torch.testing.assert_close(decision.score, expected.score, atol=1e-3, rtol=0)


def test_kept_tokens_are_those_computed_anew(tiny, tmp_path, monkeypatch):
    calls, real = [], ImageEncoder.with_patches
    monkeypatch.setattr(ImageEncoder, "with_patches", lambda *a: calls.append(a) or real(*a))
    logits = []
    for megabytes, passes in ((1024, 1), (0, 2)):
        trainer = moved(built(tiny, tmp_path / str(megabytes), {N + "TOKEN_CACHE_MB": megabytes}))
        calls.clear()
        found = [trainer.training_list.logits() for _ in range(2)]
        assert len(calls) == passes * 3 and torch.equal(*found)
        logits.append(found[0])
    assert torch.equal(*logits)


@pytest.mark.parametrize("every", [1, 2])
def test_how_often_it_decides_and_that_a_resumed_run_remembers(tiny, tmp_path, monkeypatch, every):
    from trainers import visprompt

    when, real = [], visprompt.ot_decision
    monkeypatch.setattr(visprompt, "ot_decision", lambda *a: when.append(len(when)) or real(*a))
    pairs = NOISE | {N + "OT_EVERY": every, "OPTIM.MAX_EPOCH": 4, "OPTIM.LR": 0.5, "TRAIN.ROLLING_SECONDS": 0}
    assert tiny.run(tmp_path / "whole", "VisPrompt", pairs=pairs) == 0
    assert len(when) == 4 // every
    after_epoch = visprompt.VisPrompt.after_epoch

    def stop_after_the_third(self):
        after_epoch(self)
        if self.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(visprompt.VisPrompt, "after_epoch", stop_after_the_third)
        assert tiny.run(tmp_path / "broken", "VisPrompt", pairs=pairs) == 130
    when.clear()
    assert tiny.run(tmp_path / "broken", "VisPrompt", pairs=pairs) == 0
    assert len(when) == (1 if every == 1 else 0)
    whole, broken = (json.loads((tmp_path / n / "decisions.json").read_text()) for n in ("whole", "broken"))
    assert whole == broken and whole["epoch"] == 4 and len(whole["clean"]) == 12
    states = [
        torch.load(tmp_path / n / "prompt_learner" / "model.pth.tar-4", weights_only=True)["state_dict"]
        for n in ("whole", "broken")
    ]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_without_guidance_and_transport_it_is_coop_to_the_last_bit(tiny, tmp_path):
    pairs = {N + "USE_VISUAL_GUIDANCE": False, N + "PURIFY": "none"}
    assert tiny.run(tmp_path / "ours", "VisPrompt", pairs=pairs) == 0
    assert tiny.run(tmp_path / "coop", "CoOp") == 0
    ours, coop = (
        torch.load(tmp_path / name / "prompt_learner" / "model.pth.tar-3", weights_only=True)["state_dict"]
        for name in ("ours", "coop")
    )
    assert set(ours) == {"ctx"} and torch.equal(ours["ctx"], coop["ctx"])


def test_one_feature_comes_from_the_bank(tiny, tmp_path, monkeypatch):
    """VIS_SOURCE global needs no patches: all images are encoded at most once, for all methods together."""
    trainer = moved(built(tiny, tmp_path, {N + "VIS_SOURCE": "global"}))
    first = trainer.test(), trainer.training_list.logits()
    calls, real = [], ImageEncoder.__call__
    monkeypatch.setattr(ImageEncoder, "__call__", lambda *a, **k: calls.append(a) or real(*a, **k))
    again = moved(built(tiny, tmp_path / "2", {N + "VIS_SOURCE": "global"}))
    assert again.test() == first[0] and torch.equal(again.training_list.logits(), first[1]) and not calls


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({N + "CSC": True}, "one context for all classes"),
        ({N + "GATE": "soft"}, "GATE is 'soft', but must be one of scalar, token, none, thresh"),
        ({N + "PURIFY": "gmm"}, "PURIFY is 'gmm'"),
        ({N + "ATTENTION_HEADS": 7}, "must be a multiple of ATTENTION_HEADS, 7"),
        ({N + "VIS_SOURCE": "global", N + "PROMPT_POOL_SIZE": 5}, "must divide the 32 channels"),
        ({N + "PROMPT_DROPOUT": 1.0}, "PROMPT_DROPOUT is 1.0"),
        ({N + "OT_EVERY": 0}, "OT_EVERY is 0, but must be a whole number at least 1"),
        ({N + "REG_E": 0.0}, "REG_E is 0.0"),
        ({N + "N_CTX": 0}, "N_CTX is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tiny, tmp_path, pairs, says, capsys):
    assert tiny.run(tmp_path / "run", "VisPrompt", pairs=pairs) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error and not (tmp_path / "run" / "results.json").exists()


def test_a_learner_s_shape_travels_in_its_checkpoint(tiny, tmp_path):
    shape = {N + "GATE": "token", N + "VIS_SOURCE": "global", N + "PROMPT_POOL_SIZE": 8, "OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "run", "VisPrompt", pairs=shape) == 0
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 1)
    assert tiny.run(tmp_path / "test", "VisPrompt", flags) == 0
    record, again = (json.loads((tmp_path / n / "results.json").read_text()) for n in ("run", "test"))
    assert record["results"] == again["results"] and again["config"]["TRAINER"]["VISPROMPT"]["GATE"] == "token"
    assert FITTING["VisPrompt"][N + "VISUAL_HIDDEN_DIM"] == again["config"]["TRAINER"]["VISPROMPT"]["VISUAL_HIDDEN_DIM"]


def test_resnets_are_seen_too(resnet, tiny, tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "resnet.safetensors"
    save_file({k: v.contiguous() for k, v in resnet.state_dict().items()}, file)
    pairs = {"MODEL.BACKBONE.PATH": file, "MODEL.BACKBONE.SPEC": "openai"}
    pairs |= {"INPUT.SIZE": (96, 96), "OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "run", "VisPrompt", pairs=pairs) == 0
    with pytest.raises(InputError, match="must divide"):
        built(tiny, tmp_path / "bad", pairs | {N + "VIS_SOURCE": "global", N + "PROMPT_POOL_SIZE": 7})


def test_measuring_chunks_at_tiny_size(tiny):
    from speed import side_by_side, visprompt_chunks

    arguments = ["--classes", "3", "--batch", "4", "--chunks", "3", "--repeats", "1", "--size", "16"]
    args = visprompt_chunks.build_parser().parse_args([*arguments, "--backbone", str(tiny.backbone)])
    with side_by_side.workspace() as root:
        ((name, chunks, ours, whole, ratio, mine, theirs, difference),) = visprompt_chunks.measure(
            side_by_side.noise_images(f"{root}/images", 2), args
        )
    assert (name, chunks) == ("3", 4) and min(ours, whole, ratio, mine, theirs) > 0 and difference < 1e-4
