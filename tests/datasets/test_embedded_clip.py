"""The shipped embedded CLIP (what it has seen, that it works) and its training."""

from __future__ import annotations

import json
import random
from pathlib import Path

import clip
import pytest
import torch
import torch.nn.functional as F

from clipkit import TextEncoder, load_clip
from clipkit.compact_rows import untrained_rows
from dassl.utils import InputError
from datasets import templates
from datasets.embedded import captions, clip_trainer, fast_clip, suite, train_clip
from datasets.embedded.pairs import draw_pairs
from datasets.embedded.vocab import CLASSES

WEIGHTS = Path(train_clip.__file__).parents[2] / "clipkit" / "embedded"


@pytest.fixture(scope="module")
def model():
    return load_clip("Embedded")


@pytest.fixture(scope="module")
def trained() -> set[int]:
    return {int(token) for token in json.loads((WEIGHTS / "trained_tokens.json").read_text(encoding="utf-8"))}


def untrained(texts: list[str], trained: set[int]) -> set[str]:
    return {text for text in texts if not set(captions.encode(text)) <= trained}


def test_size_and_scale(model):
    assert (WEIGHTS / "clip.safetensors").stat().st_size <= 25e6
    assert model.logit_scale.exp().item() == pytest.approx(100, rel=1e-3)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_class_names_and_templates_are_trained_words(trained):
    styles = [t for style in templates.STYLES.values() for t in style.values()]
    wrappers = [*styles, *templates.FULL80, *templates.SELECTED, templates.DEFAULT, "{}.", "X X X X {}."]
    names = sorted({name for names in CLASSES.values() for name in names})
    assert not untrained([w.replace("{}", names[0]) for w in wrappers], trained)
    assert not untrained([f"a photo of a {name}." for name in names], trained)


def test_description_words_are_trained(trained):
    sets = captions.load_descriptions()
    assert set(sets) == {"digits", "shapes", "textures", "letters", "objects"}
    assert not untrained([t for texts in sets.values() for rows in texts.values() for t in rows], trained)


def test_rows_of_other_tokens_are_as_initialised(model, trained):
    others = torch.tensor(sorted(set(range(49408)) - trained))
    table = model.token_embedding.weight[others]
    start = untrained_rows(table.shape[1], torch.float16)[others].to(table.dtype)
    assert (table == start).all(dim=1).float().mean() > 0.99


@pytest.mark.parametrize(("stem", "least"), [("digits", 25), ("objects", 25), ("textures", 30), ("shapes", 15)])
def test_zero_shot_is_well_above_chance(model, stem, least):
    spec, names = suite.SPECS[stem], CLASSES[suite.SPECS[stem].classes]
    template = templates.custom_template(spec.name)
    text = TextEncoder(model).encode_texts([template.format(name) for name in names])
    images, labels = (torch.cat(x) for x in zip(*suite.draw_split(stem, "val"), strict=True))
    pixels = (images.permute(0, 3, 1, 2).float() / 255 - clip_trainer.MEAN) / clip_trainer.STD
    with torch.no_grad():
        features = F.normalize(model.encode_image(pixels), dim=-1)
    right = (features @ text.t()).argmax(1) == labels
    assert 100 * right.float().mean() > least


def test_fast_forward_equals_the_stock_model(model):
    g = torch.Generator().manual_seed(0)
    captioner = captions.Captioner(captions.load_descriptions())
    pairs = draw_pairs(24, 1.0, captioner, g, random.Random(0))
    rows = captions.compact_ids(pairs.captions, {i: i for i in range(49408)})
    with torch.no_grad():
        image, tokens = pairs.images, clip.tokenize(pairs.captions)
        fast = fast_clip.encode_image(model, image, dtype=torch.float32)
        torch.testing.assert_close(fast, model.encode_image(image), atol=2e-4, rtol=1e-4)
        keep = torch.arange(36).expand(24, -1)
        torch.testing.assert_close(fast_clip.encode_image(model, image, keep, torch.float32), fast, atol=1e-5, rtol=0)
        text = fast_clip.encode_text(model, model.token_embedding.weight, rows, torch.float32)
        torch.testing.assert_close(text, model.encode_text(tokens), atol=2e-4, rtol=1e-4)


def test_true_captions_of_other_images_are_left_out():
    image = F.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    text = F.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    owner = torch.tensor([0, 1])
    shown, vague = torch.tensor([[3, 1], [3, 2]]), torch.tensor([[3, 1], [3, -1]])
    loss = clip_trainer.contrastive_loss(image, text, owner, shown, vague, scale=2.0)
    logits = 2 * image @ text.t()
    # Caption 1 is true of image 0 as well, so image 0 has no negative; caption 0 is false of image 1.
    by_image = (0 + F.cross_entropy(logits[1:], owner[1:])) / 2
    by_text = (F.cross_entropy(logits.t()[:1], owner[:1]) + 0) / 2
    torch.testing.assert_close(loss, (by_image + by_text) / 2)


def test_smoke_training_lowers_the_loss(tmp_path):
    threads = torch.get_num_threads()
    train_clip.main(["--smoke", "--threads", "1", "--out", str(tmp_path)])
    torch.set_num_threads(threads)
    facts = json.loads((tmp_path / "training.json").read_text())
    assert facts["images"] >= facts["recipe"]["images"]
    assert facts["history"][-1]["noun"] < facts["history"][0]["noun"] - 0.02
    smoke = load_clip("", str(tmp_path / "clip.safetensors"))
    assert torch.isfinite(smoke.encode_text(clip.tokenize("a star"))).all()


def test_progress_schedule():
    trainer = clip_trainer.Trainer.__new__(clip_trainer.Trainer)
    trainer.recipe = clip_trainer.Recipe()
    assert trainer.logit_scale(0.0) == pytest.approx(14) and trainer.logit_scale(0.9) == pytest.approx(100)
    factors = [trainer.lr_factor(p) for p in (0.0, 0.02, 0.5, 1.0)]
    assert factors[0] < 0.1 and factors[1] > 0.99 and factors[3] < 1e-6


def test_a_stopped_run_continues_to_the_bit(tmp_path):
    recipe = clip_trainer.Recipe(images=4 * 8, batch=8)
    whole = train_clip.train(recipe, tmp_path / "whole").clip_state()
    train_clip.train(recipe, tmp_path / "parts", stop_after=2)
    assert not (tmp_path / "parts" / "clip.safetensors").exists()
    parts = train_clip.train(recipe, tmp_path / "parts").clip_state()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    histories = [json.loads((tmp_path / f / "training.json").read_text())["history"] for f in ("whole", "parts")]
    for row in (*histories[0], *histories[1]):
        row.pop("minutes")
    assert histories[0] == histories[1]
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train_clip.train(clip_trainer.Recipe(images=16, batch=8), tmp_path, stop_after=1)
    with pytest.raises(InputError, match="batch 8 instead of 4"):
        train_clip.train(clip_trainer.Recipe(images=16, batch=4), tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"something else")
    with pytest.raises(InputError, match="no checkpoint of this training"):
        train_clip.train(clip_trainer.Recipe(images=16, batch=8), tmp_path)
