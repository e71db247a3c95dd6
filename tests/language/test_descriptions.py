"""The hand-written caches: complete, varied, in words that recur, and true to the class lists."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from language import cache_stem, load_cache, read_harness
from language.readers import DESCRIPTIONS

SETS = {"digits": 10, "shapes": 40, "textures": 16, "letters": 26, "objects": 20}
SHAPES = (
    *("circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent", "arrow", "hexagon"),
    *("diamond", "oval", "cloud", "drop", "bolt", "house", "tree", "fish", "flower", "gear"),
)
PATTERNS = ("striped", "dotted", "checkered", "speckled", "shaded")
HELD_OUT = {f"{PATTERNS[(i + 2) % 5]} {shape}" for i, shape in enumerate(SHAPES)}  # never met in pre-training


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z]+", sentence.lower())


@pytest.fixture(scope="module")
def caches():
    return {stem: load_cache(stem) for stem in SETS}


def test_every_class_has_enough_sentences(caches):
    for stem, count in SETS.items():
        cache = caches[stem]
        assert len(cache.classes) == count and list(cache.sources) == ["main", "noise"]
        assert cache.dataset == stem and not any(facts["ordered"] for facts in cache.sources.values())
        for by_source in cache.classes.values():
            assert len(by_source["main"]) >= 4 and len(by_source["noise"]) >= 3
        cache.validate(cache.classes)


def test_class_names_are_those_of_the_sets(caches):
    patterned = {f"{PATTERNS[j % 5]} {shape}" for i, shape in enumerate(SHAPES) for j in (i, i + 2)}
    assert set(caches["shapes"].classes) == patterned
    assert set(caches["objects"].classes) == set(SHAPES)
    assert set(caches["letters"].classes) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_sentences_are_short_and_never_repeat(caches):
    sentences = [s for c in caches.values() for by in c.classes.values() for texts in by.values() for s in texts]
    assert len(sentences) == len(set(sentences)) >= 784
    for sentence in sentences:
        assert 6 <= len(sentence.split()) <= 18 and sentence[0].isupper() and sentence.endswith("."), sentence
    names = re.compile(rf"\b({'|'.join([*SHAPES, *PATTERNS])})\b")
    without_names = Counter(names.sub("_", s.lower()) for s in sentences)
    assert without_names.most_common(1)[0][1] <= 3, "no slot-filled templates"


def test_the_small_clip_has_met_every_word(caches):
    """Captions in pre-training use these sentences but for the held-out shapes, so their words must recur."""
    users = defaultdict(set)
    for stem, cache in caches.items():
        for name, by_source in cache.classes.items():
            for word in {w for texts in by_source.values() for s in texts for w in words(s)}:
                users[word].add((stem, name))
    assert len(users) < 500
    assert [w for w, who in users.items() if all(stem == "shapes" and name in HELD_OUT for stem, name in who)] == []


@pytest.mark.parametrize("variant", ["ShapesSketch", "shapes_clutter", "shapes_inverted"])
def test_shifted_shapes_use_the_same_sentences(caches, variant):
    assert cache_stem(variant) == "shapes"
    assert load_cache(variant).sha256 == caches["shapes"].sha256


def test_every_file_is_readable_and_says_where_it_comes_from():
    for file in DESCRIPTIONS.glob("*.json"):
        for facts in read_harness(file).sources.values():
            assert {"license", "model", "ordered"} <= set(facts)
