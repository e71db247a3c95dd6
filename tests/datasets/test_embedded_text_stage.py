"""The second stage of the embedded CLIP's training: its scale, its contexts, and that it runs, stops and continues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from clipkit import ContextPrompts, TextEncoder, load_clip
from clipkit.compact_rows import ROWS
from clipkit.weights import EMBEDDED_FILE, read_weights
from dassl.utils import InputError
from datasets.embedded import captions, train_text
from datasets.embedded.contexts import LENGTH, Misled, class_features, new_contexts, random_context
from datasets.embedded.text_trainer import TextRecipe, TextTrainer, openai_factor, rescale

TEXTS = ["a photo of a star.", "X X X X striped circle.", "seven"]
TINY = TextRecipe(steps=2, images=64, captions=8, views=16)


@pytest.fixture(scope="module")
def model():
    return load_clip("Embedded")


def test_rescaling_the_residual_stream_leaves_every_text_feature_as_it_is(model):
    before = TextEncoder(model).encode_texts(TEXTS)
    state = model.state_dict()
    other = load_clip("Embedded")
    other.load_state_dict(rescale(state, 4.0))
    assert (other.token_embedding.weight - model.token_embedding.weight).abs().max() > 0.1
    torch.testing.assert_close(TextEncoder(other).encode_texts(TEXTS), before, atol=2e-3, rtol=0)


def test_the_factor_gives_rows_the_norm_of_a_new_contexts_vectors():
    rows = torch.randn(500, 128, generator=torch.Generator().manual_seed(0))
    norm = (openai_factor(rows) * rows).norm(dim=1).median()
    assert norm == pytest.approx(0.02 * 128**0.5, rel=1e-5)
    vectors = new_contexts(50, 128, torch.Generator().manual_seed(1))
    assert vectors.norm(dim=-1).median() == pytest.approx(norm.item(), rel=0.02)


def test_features_behind_contexts_equal_those_of_prompt_learning(model):
    names = ["star", "striped circle", "Q"]
    contexts = new_contexts(2, 128, torch.Generator().manual_seed(0))
    rows = [[*captions.encode(f"{name}."), 49407] for name in names]
    found = class_features(model, model.token_embedding.weight, contexts, 49406, rows)
    prompts = ContextPrompts(model, names, LENGTH)
    for context, features in zip(contexts, found, strict=True):
        wanted = F.normalize(TextEncoder(model)(prompts(context), prompts.eot), dim=-1)
        torch.testing.assert_close(features, wanted, atol=1e-5, rtol=0)


def test_misled_contexts_learn_their_random_labels_and_start_anew():
    g = torch.Generator().manual_seed(0)
    misled = Misled(2, 8, life=4, generator=g)
    assert misled.age == [0, 2]
    image, noun = F.normalize(torch.randn(400, 8, generator=g), dim=1), torch.arange(400) % 72
    first = [values.clone() for values in misled.values]
    for _ in range(2):
        contexts = misled.values.clone().requires_grad_(True)
        features = contexts.mean(1)[:, None] * torch.arange(72).view(1, -1, 1)
        misled.advance(features, image, noun, contexts, 1.0)
    assert not torch.equal(misled.values[0], first[0])
    assert misled.age == [2, 0]  # the second has reached the end of its life
    assert not misled.speed[1].any() and misled.speed[0].any()
    assert misled.values[1].std() == pytest.approx(0.02, rel=0.3)


def test_a_stopped_run_continues_to_the_bit(tmp_path: Path):
    source = tmp_path / "first.safetensors"  # at the scale of the first stage
    save_file(rescale(read_weights(EMBEDDED_FILE), 4.0), source, metadata={"clip_structure": "openai"})
    train_text.train(source, TINY, tmp_path / "whole")
    train_text.train(source, TINY, tmp_path / "parts", stop_after=1)
    assert not (tmp_path / "parts" / "clip.safetensors").exists()
    train_text.train(source, TINY, tmp_path / "parts")
    whole, parts = (load_file(tmp_path / folder / "clip.safetensors") for folder in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[key], parts[key]) for key in whole)
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()
    facts = json.loads((tmp_path / "parts" / "training.json").read_text(encoding="utf-8"))
    assert facts["text"]["history"][-1]["step"] == 2
    made = load_clip("", str(tmp_path / "whole" / "clip.safetensors"))
    shipped = load_clip("Embedded")
    assert torch.equal(made.visual.proj, shipped.visual.proj)  # the image tower is left alone
    assert not torch.equal(made.text_projection, shipped.text_projection)
    assert made.positional_embedding.norm() == pytest.approx(shipped.positional_embedding.norm().item(), rel=0.1)
    assert ROWS not in made.state_dict()


def test_a_misled_context_is_judged_by_its_own_nouns(model):
    recipe = TextRecipe(images=64, views=48, misled=2, others=0.25, random=0.5)
    trainer = TextTrainer(load_clip("Embedded"), recipe, captions.Captioner(captions.load_descriptions()))
    state, words = trainer.generator.get_state(), trainer.rng.getstate()
    found = trainer.context_loss()
    trainer.generator.set_state(state), trainer.rng.setstate(words)
    rows = torch.randint(64, (48,), generator=trainer.generator)
    other = random_context(trainer.table.detach(), trainer.rng, trainer.generator)
    noun, wanted = trainer.shown[rows, 0], torch.zeros(())
    for context, chosen in zip([*trainer.misled.values, other], [*trainer.misled.nouns, None], strict=True):
        (text,) = class_features(trainer.clip, trainer.table, context[None], trainer.start, trainer.names)
        logits = trainer.scale * trainer.features[rows] @ text.t()
        whole = F.cross_entropy(logits, noun)
        if chosen is None:
            wanted = wanted + 0.5 * whole
            continue
        place = {int(n): i for i, n in enumerate(chosen)}
        own = [i for i, n in enumerate(noun.tolist()) if n in place]
        label = torch.tensor([place[int(noun[i])] for i in own])
        wanted = wanted + 0.25 * whole + 0.75 * F.cross_entropy(logits[own][:, chosen], label)
    torch.testing.assert_close(found, wanted / 3, atol=1e-4, rtol=1e-4)


def test_an_unknown_setting_is_named(tmp_path):
    assert train_text.main(["--weights", str(EMBEDDED_FILE), "--out", str(tmp_path), "--set", "stpes=3"]) == 2


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train_text.train(EMBEDDED_FILE, TINY, tmp_path, stop_after=1)
    with pytest.raises(InputError, match="steps 2 instead of 5"):
        train_text.train(EMBEDDED_FILE, TextRecipe(steps=5, images=64, captions=8, views=16), tmp_path)
