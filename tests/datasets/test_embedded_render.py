"""Renderer, atlas and caption grammar of the embedded suite."""

from __future__ import annotations

import random

import clip
import pytest
import torch

from datasets.embedded import captions, pairs, patterns
from datasets.embedded.atlas import atlas
from datasets.embedded.render import blank, render
from datasets.embedded.vocab import CLASSES, COLOURS, FIELDS, HELD_OUT, NOUNS, PATTERNS, SHAPES


@pytest.fixture(scope="module")
def batch() -> pairs.Pairs:
    captioner = captions.Captioner(captions.load_descriptions())
    return pairs.draw_pairs(600, 1.0, captioner, torch.Generator().manual_seed(3), random.Random(3))


def test_masks_are_there_and_do_not_touch_the_border():
    masks, index = atlas()
    assert len(torch.cat([rows.flatten() for rows in index.values()]).unique()) == len(masks)
    assert (masks.float().mean((1, 2)) > 5).all()  # a font without the character would give an empty mask
    rim = torch.cat((masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]), dim=1)
    assert rim.max() < 100


@pytest.mark.parametrize("name", FIELDS)
def test_patterns(name):
    axis = torch.linspace(-2.5, 2.5, 48)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    value = patterns.field(name, u.expand(2, -1, -1), v.expand(2, -1, -1), torch.tensor([0.1, 0.7]))
    assert value.shape == (2, 48, 48) and value.min() >= 0 and value.max() <= 1
    assert (value.std() > 0.1) == (name != "solid")


def test_colour_and_place_of_a_plain_circle():
    scene = blank(1)
    scene.mask, scene.scale = atlas()[1]["filled"][:1], torch.tensor([0.8])
    scene.colours[0, 0] = torch.tensor([1.0, 0.0, 0.0])
    scene.colours[0, 2] = torch.tensor([0.0, 0.0, 1.0])
    image, coverage = render(scene, torch.Generator().manual_seed(0))
    assert image[0, :, 24, 24].tolist() == [1, 0, 0] and image[0, :, 2, 2].tolist() == [0, 0, 1]
    assert coverage[0, 24, 24] == 1 and coverage[0, 2, 2] == 0
    radius = (coverage.sum() / torch.pi).sqrt().item() / 48
    assert radius == pytest.approx(0.8 * 0.76 * 0.4, rel=0.03)  # scale * share of the mask * radius in shape units


def test_held_out_pairs_are_never_shown_or_said(batch):
    for shown, said, text in zip(batch.shown.tolist(), batch.said.tolist(), batch.captions, strict=True):
        if shown[0] < len(SHAPES) and shown[2] >= 0:
            assert (PATTERNS[shown[2]], SHAPES[shown[0]]) not in HELD_OUT
        assert said[0] == shown[0]
        assert all(f"{p} {s}" not in text for p, s in HELD_OUT)


def test_captions_say_what_is_shown(batch):
    described = {t for texts in captions.load_descriptions().values() for rows in texts.values() for t in rows}
    for shown, said, text in zip(batch.shown.tolist(), batch.said.tolist(), batch.captions, strict=True):
        assert all(s in (-1, x) for s, x in zip(said, shown, strict=True)), text
        if said[1] >= 0:
            assert list(COLOURS)[said[1]] in text
        if said[2] >= 0 and text not in described:  # descriptions paraphrase the pattern
            assert PATTERNS[said[2]] in text.lower()
    assert len(batch.shown[:, 0].unique()) >= len(NOUNS) - 4
    assert 0.15 < batch.said[:, 1].ge(0).sum() / batch.shown[:, 1].ge(0).sum() < 0.4  # names are seen without a colour


def test_bare_names_and_late_positions_are_trained(batch):
    lengths = [len(captions.encode(text)) for text in batch.captions]
    assert max(lengths) >= 18  # CoOp's 16 context tokens and a name
    bare = sum(text.rstrip(".").lower() in {n.lower() for n in NOUNS} for text in batch.captions)
    assert bare > 5


def test_word_cached_encoding_is_clips(batch):
    texts = [*batch.captions[:100], "a digit: 3, drawn.", *(f"{name}." for names in CLASSES.values() for name in names)]
    for text, row in zip(texts, clip.tokenize(texts), strict=True):
        assert captions.encode(text) == row[row > 0][1:-1].tolist()


def test_grammar_stays_inside_its_vocabulary(batch):
    captioner = captions.Captioner(captions.load_descriptions())
    rows = {token: i for i, token in enumerate(captioner.vocabulary())}
    captions.compact_ids(batch.captions, rows)
    with pytest.raises(KeyError):
        captions.compact_ids(["a giraffe"], rows)
