"""TextRefiner: its cache, its two files, and what it must equal."""

from __future__ import annotations

import pytest
import torch
from test_paper_losses import moved

from clipkit import InputError, normalize
from clipkit.export import full_checkpoint, learnable_checkpoint, write_checkpoint
from tests.plain import plain_of

WORDS = {"TRAINER.COOP.CTX_INIT": "a photo of a", "TRAINER.TF.MEMORY_SIZE": 6}


def step(trainer) -> torch.Tensor:
    """One step; returns its images."""
    trainer.epoch = trainer.batch_idx = 0
    trainer.num_batches = 9
    trainer.set_model_mode("train")
    batch = next(iter(trainer.train_loader_x))
    trainer.forward_backward(batch)
    return batch["img"]


def test_a_step_writes_the_cache(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "TextRefiner", WORDS)
    moved(trainer)
    plain, before = plain_of("TextRefiner", trainer), trainer.model.memory_item.clone()
    image = step(trainer)
    assert (trainer.model.memory_item - before).abs().max() > 1e-3
    torch.testing.assert_close(trainer.model.memory_item, plain.written(image), atol=1e-5, rtol=1e-5)
    assert trainer.model.memory_item.grad_fn is None


def test_slots_without_rows_keep_their_direction(tiny, tmp_path):
    model = tiny.trainer(tmp_path, "TextRefiner", WORDS).model
    before = model.memory_item.clone()
    model.write(3 * before[2:3] + 1e-3)  # one row, nearest to slot 2
    same = [i for i in range(6) if torch.allclose(model.memory_item[i], before[i], atol=1e-6)]
    assert same == [0, 1, 3, 4, 5]
    torch.testing.assert_close(model.memory_item.norm(dim=1), torch.ones(6))


def test_without_alpha_the_test_is_coops(tiny, tmp_path):
    pairs = {"TRAINER.COOP.CTX_INIT": "a photo of a"}
    trainer = tiny.trainer(tmp_path / "1", "TextRefiner", pairs | {"TRAINER.TF.ALPHA": 0.0})
    coop = tiny.trainer(tmp_path / "2", "CoOp", pairs)
    image = torch.randn(3, 3, 16, 16)
    for each in (trainer, coop):
        each.set_model_mode("eval")
    with torch.no_grad():
        torch.testing.assert_close(trainer.model_inference(image), coop.model_inference(image), atol=1e-5, rtol=0)


def test_attention_of_cls_is_the_stock_modules(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "TextRefiner", WORDS)
    image = torch.randn(3, 3, 16, 16)
    tokens, attention = trainer.image_encoder.with_attention(image)
    torch.testing.assert_close(attention, plain_of("TextRefiner", trainer).attention(image), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(tokens[:, 0], trainer.image_encoder(image), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens[:, 1:], trainer.image_encoder.with_patches(image)[1], atol=1e-5, rtol=1e-5)


def test_two_files_and_a_published_one_with_the_cache_beside_the_state_dict(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "TextRefiner", (), WORDS | {"OPTIM.MAX_EPOCH": 1}) == 0
    files = {p.parent.name: torch.load(p, weights_only=True) for p in (tmp_path / "run").glob("*/model.pth.tar-1")}
    assert set(files["Memory"]["state_dict"]) == {"extractor.weight", "memory_item"}
    first = files["prompt_learner"]["state_dict"]
    layers = {f"mid_image_trans.conv1.{i}" for i in (0, 1, 3)}
    assert {k.rpartition(".")[0] for k in first} == {"prompt_learner"} | layers
    cache = files["Memory"]["state_dict"].pop("memory_item")
    theirs = tmp_path / "theirs"
    for name, beside in (("prompt_learner", {}), ("Memory", {"memory_item": cache})):
        (theirs / name).mkdir(parents=True)
        state = files[name]["state_dict"] | ({"logit_scale": torch.ones(())} if name == "prompt_learner" else {})
        torch.save({"state_dict": state, "epoch": 1} | beside, theirs / name / "model.pth.tar-1")
    trainer = tiny.trainer(tmp_path / "test", "TextRefiner", WORDS)
    trainer.load_model(str(theirs), 1)
    assert torch.equal(trainer.model.memory_item, cache) and torch.equal(
        trainer.model.prompt_learner.ctx, first["prompt_learner.ctx"]
    )
    torch.save({"state_dict": {}, "epoch": 1}, theirs / "Memory" / "model.pth.tar-1")
    with pytest.raises(InputError, match="extractor.weight"):
        trainer.load_model(str(theirs), 1)


def test_export_puts_the_cache_beside_and_takes_it_in_again(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "TextRefiner", (), WORDS | {"OPTIM.MAX_EPOCH": 1}) == 0
    ours = tmp_path / "run" / "Memory" / "model.pth.tar-1"
    backbone = str(tiny.backbone)
    full = full_checkpoint(ours, backbone, precision="fp32")
    assert set(full["state_dict"]) == {"extractor.weight"} and full["memory_item"].shape == (6, 32)
    write_checkpoint(full, tmp_path / "full")
    back = learnable_checkpoint(tmp_path / "full")["state_dict"]
    assert torch.equal(back["memory_item"], full["memory_item"]) and len(back) == 2
    first = full_checkpoint(ours.parent.parent / "prompt_learner" / ours.name, backbone, precision="fp32")["state_dict"]
    assert {"prompt_learner.token_suffix", "text_encoder.text_projection", "image_encoder.proj", "logit_scale"} < set(
        first
    )


def test_the_start_of_the_cache(tiny, tmp_path):
    q = tiny.trainer(tmp_path, "TextRefiner", WORDS).model.memory_item
    assert q.shape == (6, 32) and (q >= 0).all()
    torch.testing.assert_close(q, normalize(q))
