"""ANPrompt against its equations, in plain tensor operations."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from trainers.anprompt import PromptLearner
from trainers.losses import kl_divergence, variance_weight
from trainers.shared.situation import situation as situation_of

N = "TRAINER.ANPROMPT."


def features(trainer, image):
    """f_v, f_N, f_v^0, f_t, f_t^0, f_w of a trainer, none of them through its own loss."""
    cfg, learner, layers = trainer.method_cfg(), trainer.model, trainer.layers
    p_a = learner.ctx + (cfg.EPS if cfg.ANTI_PROMPT else 0.0) * learner.noise_ctx  # Eq. 8
    visual = {b: fc(p_a) for b, fc in zip(layers, learner.visual_fc, strict=True)}
    text = {b: fc(p_a) for b, fc in zip(layers, learner.text_fc, strict=True)}
    f_v, tokens = trainer.image_encoder(image, insert=visual, return_tokens=True)
    f_v0 = trainer.clip.encode_image(image)
    texts = [f"a photo of a {name}." for name in trainer.classnames]
    from clipkit import tokenize

    tokens77 = tokenize(texts)
    f_t = trainer.text_encoder(trainer.text_encoder.embed(tokens77), tokens77.argmax(-1), insert=text)
    f_t0 = trainer.clip.encode_text(tokens77)
    f_N = tokens.mean(1) @ learner.nrvpp_proj  # Eq. 4
    return (*(F.normalize(x, dim=-1) for x in (f_v, f_N, f_v0, f_t, f_t0)), trainer.f_w)


def batch(trainer, size: int = 4):
    trainer.make_noise_ctx()
    torch.manual_seed(3)
    return torch.randn(size, 3, 16, 16), torch.arange(size) % len(trainer.classnames)


def test_learnable_numbers_at_vit_b16_size():
    """The counts of the method's description: 4,992,256 with an FC a layer, 1,052,416 with shared ones."""
    for per_layer, count in ((True, 4_992_256), (False, 1_052_416)):
        layers = [6, 7, 8, 9, 10, 11, 12]
        learner = PromptLearner(torch.zeros(5, 512), 0.1, layers, per_layer, torch.zeros(768, 512), 512)
        assert sum(p.numel() for p in learner.parameters()) == count


def test_loss_is_the_papers(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt", {N + "SIM_W": 2.5})
    image, label = batch(trainer)
    trainer.epoch = trainer.batch_idx = 0
    logits, terms = trainer.loss(image, label)
    f_v, f_N, f_v0, f_t, f_t0, f_w = features(trainer, image)
    scale = trainer.clip.logit_scale.exp()
    l_A, l_R, l_W = scale * f_v @ f_t.T, scale * f_v @ f_w.T, scale * f_N @ f_w.T
    l_final = 0.7 * l_A + 0.3 * l_R
    ce = -torch.log_softmax(l_final, 1)[torch.arange(len(label)), label].mean()
    sim = (1 - (f_v * f_v0).sum(1).mean()) + (1 - (f_t * f_t0).sum(1).mean())
    p, q = l_A.softmax(1), l_W.softmax(1)
    wa = (p * (p / q).log()).sum() / (l_A.std() * l_A.numel() + 1e-6)  # Eq. 6, 7
    torch.testing.assert_close(logits, l_final, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(terms["ce"], ce, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(terms["sim"], 2.5 * sim, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(terms["wa"], wa, atol=1e-6, rtol=1e-3)


def test_switches_reduce_it_to_mmrls_loss(tiny, tmp_path):
    """With no noise anywhere and MMRL's second branch the loss is MMRL's (its published form, written down here)."""
    pairs = {"TEXT_NOISE": False, "ANTI_PROMPT": False, "WA_W": 0.0, "ROBUST_LOGITS": "rep", "CE_MODE": "separate",
             "NRVPP_PROJ": "learned_random", "SIM_W": 0.5}  # fmt: skip
    trainer = tiny.trainer(tmp_path, "ANPrompt", {N + k: v for k, v in pairs.items()})
    image, label = batch(trainer)
    trainer.epoch = trainer.batch_idx = 0
    _, terms = trainer.loss(image, label)
    f_c, f_r, f_0, t, t_0, _ = features(trainer, image)
    scale = trainer.clip.logit_scale.exp()
    ce = 0.7 * F.cross_entropy(scale * f_c @ t.T, label) + 0.3 * F.cross_entropy(scale * f_r @ t.T, label)
    reg = 0.5 * ((1 - F.cosine_similarity(f_c, f_0).mean()) + (1 - F.cosine_similarity(t, t_0).mean()))
    assert set(terms) == {"ce", "sim"}
    torch.testing.assert_close(terms["ce"] + terms["sim"], ce + reg, atol=1e-5, rtol=1e-4)


def test_literal_equation_6_and_the_other_direction(tiny, tmp_path):
    for ref, direction in (("robust", "ref_to_w"), ("align", "w_to_ref")):
        trainer = tiny.trainer(tmp_path, "ANPrompt", {N + "WA_REF": ref, N + "WA_DIRECTION": direction})
        image, label = batch(trainer)
        trainer.epoch = trainer.batch_idx = 0
        _, terms = trainer.loss(image, label)
        f_v, f_N, _, f_t, _, f_w = features(trainer, image)
        scale = trainer.clip.logit_scale.exp()
        l_ref, l_W = scale * f_v @ (f_w if ref == "robust" else f_t).T, scale * f_N @ f_w.T
        pair = (l_ref, l_W) if direction == "ref_to_w" else (l_W, l_ref)
        expected = kl_divergence(*pair) * variance_weight(l_ref, 1e-6)
        torch.testing.assert_close(terms["wa"], expected, atol=1e-6, rtol=1e-3)


def test_kl_is_torchs_summed_kl():
    torch.manual_seed(0)
    p, q = torch.randn(3, 5), torch.randn(3, 5)
    expected = F.kl_div(q.log_softmax(1), p.log_softmax(1), reduction="sum", log_target=True)
    torch.testing.assert_close(kl_divergence(p, q), expected)
    assert kl_divergence(p, p).abs() < 1e-6


def test_only_the_learner_gets_gradients(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt")
    image, label = batch(trainer)
    trainer.epoch = trainer.batch_idx = 0
    _, terms = trainer.loss(image, label)
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trainer.model.parameters())
    assert all(p.grad is None for p in trainer.clip.parameters())


def test_a_class_gets_the_same_sentences_beside_any_other_classes(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt")
    together = trainer.weak_noise.features(["dotted star", "plain tree", "speckled fish"])
    alone = trainer.weak_noise.features(["plain tree"])
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=0)
    main, noise = trainer.weak_noise.sentences(["plain tree"])
    assert main != noise


def test_eq_2_and_its_switch(tiny, tmp_path):
    for pairs, alpha in (({N + "ALPHA": 0.5}, 0.5), ({N + "ALPHA": 0.5, N + "TEXT_NOISE": False}, 0.0)):
        trainer = tiny.trainer(tmp_path, "ANPrompt", pairs)
        main, noise = trainer.weak_noise.sentences(trainer.classnames)
        f_m, f_n = trainer.text_encoder.encode_texts(main), trainer.text_encoder.encode_texts(noise)
        torch.testing.assert_close(trainer.f_w, F.normalize(f_m + alpha * f_n, dim=-1))


def test_noise_prompts_are_cluster_centres(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt")  # three base classes, three tokens: every point is a centre
    trainer.make_noise_ctx()
    centres = trainer.model.noise_ctx
    assert torch.cdist(centres, trainer.f_w).min(dim=1).values.max() < 1e-5
    assert torch.cdist(trainer.f_w, centres).min(dim=1).values.max() < 1e-5


def test_more_tokens_than_classes_cluster_several_sentences(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt", {N + "N_TOKENS": 5})
    trainer.make_noise_ctx()
    assert trainer.model.noise_ctx.shape[0] == 5
    assert torch.isfinite(trainer.model.noise_ctx).all()
    assert torch.pdist(trainer.model.noise_ctx).min() > 1e-4


def test_noise_prompts_travel_in_the_checkpoint(tiny, tmp_path):
    base = tiny.trainer(tmp_path / "base", "ANPrompt")
    with torch.no_grad():
        base.model.noise_ctx.add_(1.0)
    base.save_model(0, str(tmp_path / "base"))
    new = tiny.trainer(tmp_path / "new", "ANPrompt", {"DATASET.SUBSAMPLE_CLASSES": "new"})
    assert len(new.classnames) == 2 and len(base.classnames) == 3
    new.load_model(str(tmp_path / "base"), epoch=1)
    new.make_noise_ctx()  # never made again
    assert torch.equal(new.model.noise_ctx, base.model.noise_ctx)
    assert new.f_w.shape[0] == 2


def test_resampling_draws_anew_and_repeats(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt", {N + "RESAMPLE": "step"})
    drawn = [trainer.weak_noise.resampled(trainer.f_w, 0, step) for step in range(4)]
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:])
    again = tiny.trainer(tmp_path, "ANPrompt", {N + "RESAMPLE": "step"})
    assert torch.equal(again.weak_noise.resampled(again.f_w, 0, 2), drawn[2])


def test_resampling_leaves_the_test_alone(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "ANPrompt", {N + "RESAMPLE": "step"})
    before, start = trainer.test(), trainer.f_w.clone()
    trainer.epoch = trainer.batch_idx = 0
    trainer.loss(*batch(trainer))
    assert torch.equal(trainer.f_w, start) and trainer.test() == before


def test_test_logits_follow_the_situation(tiny, tmp_path):
    cases = [("base", {}), ("new", {"DATASET.SUBSAMPLE_CLASSES": "new"}), ("fs", {"TASK": "FS"}),
             ("cd_target", {"TASK": "CD"})]  # fmt: skip
    for situation, pairs in cases:
        trainer = tiny.trainer(tmp_path, "ANPrompt", {**pairs, f"{N}TEST_LOGITS.{situation}": "align"})
        assert situation_of(trainer.cfg) == situation
        trainer.test()
        accuracies = trainer.record["other_accuracies"]
        assert set(accuracies) == {"align", "robust", "final"}
        assert trainer.evaluator.results["accuracy"] == pytest.approx(accuracies["align"], abs=1e-4)


def test_lambda_of_a_dataset_yields_to_the_command_line(tiny, tmp_path):
    import train

    parse = train.build_parser().parse_args
    base = ["--trainer", "ANPrompt"]
    assert train.setup_cfg(parse([*base, "DATASET.NAME", "Food101"])).TRAINER.ANPROMPT.SIM_W == 5.0
    own = train.setup_cfg(parse([*base, "DATASET.NAME", "Food101", N + "SIM_W", "0.3"]))
    assert own.TRAINER.ANPROMPT.SIM_W == 0.3
    cross = train.setup_cfg(parse([*base, "DATASET.NAME", "ImageNet", "TASK", "CD"]))
    assert cross.TRAINER.ANPROMPT.SIM_W == 0.2
