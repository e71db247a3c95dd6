"""TAC: clusters, who sees whom in the image tower, dropout, and the average over epochs."""

from __future__ import annotations

import pytest
import torch
from test_paper_losses import moved

from clipkit import InputError, normalize
from trainers.parts.cosine_clusters import cosine_centres

N = "TRAINER.TAC."


@pytest.fixture
def trainer(tiny, tmp_path):
    found = tiny.trainer(tmp_path, "TAC")
    moved(found)
    assert found.targets.shape == (3, 32)
    return found


def test_patches_do_not_see_the_centres_and_cls_does(trainer):
    """After block 1, by moving p_v alone."""
    encoder, image = trainer.image_encoder, torch.randn(2, 3, 16, 16)
    prompts, sees = trainer.visual_prompts()
    after = []
    for shift in (0.0, 1.0):
        first = prompts[1].detach().clone()
        first[:2] += shift * torch.randn(first[:2].shape)
        x = encoder.tower.enter(image, lambda x, first=first: torch.cat([x, first.expand(len(x), -1, -1)], 1))
        from clipkit.ops import block_forward

        after.append(block_forward(encoder.visual.transformer.resblocks[0], x, False, sees))
    patches = slice(1, 5)
    torch.testing.assert_close(after[0][:, patches], after[1][:, patches], atol=1e-6, rtol=0)
    for row in (0, 7, 8):  # CLS and the block's own prompts
        assert (after[0][:, row] - after[1][:, row]).abs().max() > 1e-3


def test_centres_are_those_of_the_classes_where_there_are_as_many(trainer):
    points = normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)))
    found = cosine_centres(points, 4, 1, "K")
    nearest = (points @ found.t()).max(1)
    torch.testing.assert_close(nearest.values, torch.ones(4))
    assert sorted(nearest.indices.tolist()) == [0, 1, 2, 3]
    with pytest.raises(InputError, match="there are only 4 classes to cluster"):
        cosine_centres(points, 5, 1, "K")


def test_centres_are_means_of_what_is_nearest():
    generator = torch.Generator().manual_seed(3)
    points = normalize(torch.randn(40, 6, generator=generator))
    centres = cosine_centres(points, 5, 2, "K")
    nearest = (points @ centres.t()).argmax(1)
    means = torch.stack([points[nearest == i].mean(0) for i in range(5)])
    assert (normalize(means) * centres).sum(1).min() > 0.99  # it stops when the centres hardly move
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(5))
    assert not torch.equal(centres, cosine_centres(points, 5, 7, "K"))


def test_the_centres_of_the_training_travel(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "TAC", (), {"OPTIM.MAX_EPOCH": 1}) == 0
    (file,) = (tmp_path / "run").glob("*/model.pth.tar-1")
    state = torch.load(file, weights_only=True)["state_dict"]
    assert torch.equal(state["topk"], state["prompt_learner.topk"]) and state["topk"].any()
    other = tiny.trainer(tmp_path / "test", "TAC", {"DATASET.SUBSAMPLE_CLASSES": "new"})
    other.load_model(str(tmp_path / "run"), 1)
    assert torch.equal(other.model.topk, state["topk"])


def test_the_answer_is_the_mean_over_epochs(tiny, tmp_path, monkeypatch):
    from trainers.tac import TAC

    seen, add = [], TAC.after_epoch

    def after_epoch(self):
        seen.append({k: p.detach().clone() for k, p in self.model.named_parameters()})
        add(self)

    monkeypatch.setattr(TAC, "after_epoch", after_epoch)
    assert tiny.run(tmp_path / "run", "TAC") == 0
    (file,) = (tmp_path / "run").glob("*/model.pth.tar-3")
    state = torch.load(file, weights_only=True)["state_dict"]
    for key in seen[0]:
        torch.testing.assert_close(state[key], sum(s[key] for s in seen) / 3, atol=1e-6, rtol=1e-5)


def test_dropout_in_training_is_a_function_of_the_step(trainer):
    trainer.epoch = trainer.batch_idx = 0
    features = normalize(torch.randn(40, 32))
    first, again = (trainer.dropped(features, "dropout") for _ in range(2))
    trainer.batch_idx = 1
    other = trainer.dropped(features, "dropout")
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert 0.2 < (first == 0).float().mean() < 0.4
    torch.testing.assert_close(first.norm(dim=1), torch.ones(40))
    f0 = trainer.frozen_image(torch.randn(2, 3, 16, 16))
    assert (f0 != 0).all()


def test_it_needs_the_plain_image(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "TAC", (), {"DATALOADER.RETURN_IMG0": False}) == 2
    assert "set DATALOADER.RETURN_IMG0 to True" in capsys.readouterr().err


@pytest.mark.parametrize("n", [2, 5, 7])
def test_the_context_starts_from_the_tokens_behind_the_start(tiny, tmp_path, n):
    """The fifth of "a photo of a" is the end token, the further ones padding."""
    trainer = tiny.trainer(tmp_path, "TAC", {N + "N_CTX_TEXT": n, "DATASET.SUBSAMPLE_CLASSES": "all"})
    ids = [320, 1125, 539, 320, 49407, 0, 0][:n]
    torch.testing.assert_close(trainer.model.prompt_learner.ctx, trainer.clip.token_embedding.weight[ids].float())
