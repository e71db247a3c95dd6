"""Looking sentences up, drawing them, checking coverage and length."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from dassl.utils import InputError
from language import Cache, Source, clean, draw_pairs, load_cache, load_source

FACTS = {"main": {"ordered": False}, "noise": {"ordered": False}}


def cache_of(names, n=6, dataset="toy"):
    classes = {
        c: {"main": [f"{c} main {i}" for i in range(n)], "noise": [f"{c} noise {i}" for i in range(n)]} for c in names
    }
    return Cache(dataset, FACTS, classes)


@pytest.fixture
def cache():
    return cache_of(["sea horse", "Crane", "crane", "mouse"])


def test_names_are_found_cleaned_then_regardless_of_case(cache):
    assert cache.get(" sea_horse ", "main")[0] == "sea horse main 0"
    assert cache.get("SEA HORSE", "noise")[0] == "sea horse noise 0"
    assert cache.get("Crane")[0] == "Crane main 0" and cache.get("crane")[0] == "crane main 0"
    assert cache.get("CRANE")[0] == "Crane main 0", "the first of several"
    assert "mouse" in cache and "moose" not in cache
    assert clean("a_b ") == "a b"


def test_a_missing_class_is_named_with_its_neighbours(cache):
    with pytest.raises(InputError, match="no class 'mouze'; nearest: mouse"):
        cache.get("mouze", "main")
    assert cache.get("mouze", "main", fallback="a photo of a {}.") == ["a photo of a mouze."]
    with pytest.raises(InputError, match="no source 'hpt'; it has main, noise"):
        cache.get("mouse", "hpt")


def test_the_callers_list_is_a_copy(cache):
    cache.get("mouse", "main").clear()
    assert len(cache.get("mouse", "main")) == 6


def test_a_draw_depends_on_seed_dataset_class_and_role_only(cache):
    names = ["sea horse", "mouse"]
    alone = cache_of(["mouse"])
    assert cache.draw("mouse", "main", seed=3, k=6) == alone.draw("mouse", "main", seed=3, k=6)
    assert cache.draw("sea_horse", "main", 3) == cache.draw("Sea Horse", "main", 3)

    def order(seed=3, name="mouse", role="", c=cache):
        return [s.split()[-1] for s in c.draw(name, "main", seed, k=6, role=role)]

    others = [order(4), order(name="sea horse"), order(role="noise"), order(c=cache_of(names, dataset="other"))]
    assert order() not in others
    assert len({tuple(o) for o in others}) == 4


def test_draws_are_the_same_on_every_machine(cache):
    assert cache.draw("mouse", "main", 1, k=6) == [f"mouse main {i}" for i in (5, 0, 4, 2, 3, 1)]


def test_smaller_draws_begin_larger_ones(cache):
    six = cache.draw("mouse", "main", 1, k=9)
    assert len(six) == len(set(six)) == 6
    assert [cache.draw("mouse", "main", 1, k=k) for k in (1, 3)] == [six[:1], six[:3]]
    assert cache.draw("mouse", "main", 1, k=6, exclude=six[:2]) != []
    assert not set(cache.draw("mouse", "main", 1, k=6, exclude=six[:2])) & set(six[:2])


def test_the_shared_index_fits_every_class(cache):
    cache.classes["mouse"]["main"] = ["one", "two"]
    found = {cache.shared_index("main", seed) for seed in range(40)}
    assert found == {0, 1}
    assert len({cache.shared_index("noise", seed) for seed in range(40)}) > 2


def test_the_hash_follows_the_sentences(cache):
    assert cache.sha256 == cache_of(["sea horse", "Crane", "crane", "mouse"]).sha256
    other = cache_of(["sea horse", "Crane", "crane", "mouse"])
    other.classes["mouse"]["main"][0] += "!"
    assert other.sha256 != cache.sha256


def test_validate_names_what_is_missing_or_empty(cache):
    cache.classes["mouse"]["noise"] = []
    cache.classes["Crane"]["main"][1] = " "
    cache.validate(["sea_horse", "mouse"], ["main"])
    with pytest.raises(
        InputError, match=r"for 'mouse' \(noise\), 'Crane' \(main\), 'yak' \(main\), 'yak' \(noise\); add"
    ):
        cache.validate(["mouse", "Crane", "yak"])
    cache.validate(["mouse", "yak"], allow_missing=True)


def test_validate_cuts_what_exceeds_clips_context(cache, caplog):
    from clip.clip import tokenize

    long = " ".join(["extraordinarily"] * 200)
    cache.classes["mouse"]["main"][2] = long
    with caplog.at_level(logging.WARNING):
        cache.validate(["mouse"])
    assert [r.getMessage() for r in caplog.records] == ["Warning: 1 sentences of toy exceed 77 tokens and are cut"]
    cut = cache.get("mouse", "main")[2]
    assert long.startswith(cut) and tokenize([cut]).shape == (1, 77)
    with pytest.raises(RuntimeError):
        tokenize([cut + " extraordinarily" * 2])


def test_without_a_file_the_templates_stand_in(caplog):
    caplog.set_level(logging.INFO, logger="language")
    cache = load_cache("Folder")
    assert [r.getMessage() for r in caplog.records if r.name.startswith("language")] == [
        "No language cache for folder: the 80 templates of CLIP are used instead"
    ]
    assert list(cache.sources) == ["templates"] and cache.dataset == "folder"
    texts = cache.get("maine_coon", "noise")
    assert len(texts) == 80 and texts[0] == "a bad photo of a maine coon."
    before = cache.sha256
    cache.validate(["maine_coon", "pug"])
    assert cache.sha256 == before and "anything" in cache
    assert cache.draw("pug", "main", 1, k=2) == cache.draw("pug", "coprompt", 1, k=2)
    assert 0 <= cache.shared_index("main", 1) < 80
    (main, noise) = (load_source("Folder", which) for which in ("main", "noise"))
    m, n = draw_pairs(main, noise, "pug", seed=1)
    assert m != n and main.same_as(noise)


def test_the_hash_of_templates_follows_the_dataset():
    assert load_cache("Folder").sha256 == load_cache("folder").sha256 != load_source("ImageNet", "templates").sha256


def test_sources_stand_in_for_each_other(cache):
    assert load_source("Digits", "coprompt").name == "main" and load_source("digits", "hpt").name == "noise"
    with pytest.raises(InputError, match="no source 'wordnet'"):
        load_source("digits", "wordnet")


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("second", ["noise", "main"])
def test_pairs_never_repeat_a_sentence(cache, second, shared):
    main, noise = Source(cache, "main"), Source(cache, second)
    for seed in range(20):
        mains, noises = draw_pairs(main, noise, "mouse", seed, k=20, shared_index=shared)
        assert len(mains) == len(noises) == 20
        assert all(a != b for a, b in zip(mains, noises, strict=True))
        assert set(mains[:6]) == set(main.get("mouse")), "all sentences before any comes again"
        assert draw_pairs(main, noise, "mouse", seed, shared_index=shared) == (mains[:1], noises[:1])


def test_shared_pairs_have_one_number_for_all_classes(cache):
    main, noise = Source(cache, "main"), Source(cache, "noise")
    drawn = [draw_pairs(main, noise, name, 5, shared_index=True) for name in ("mouse", "crane", "sea_horse")]
    assert len({(m[0].split()[-1], n[0].split()[-1]) for m, n in drawn}) == 1
    assert main.most(["mouse", "crane"]) == 6


def test_importing_the_package_does_not_import_torch():
    code = "import sys, language; c = language.load_cache('digits'); c.draw('zero', 'main', 1); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


def test_templates_may_be_asked_for_where_there_is_a_cache():
    """For comparing written sentences with none: `CACHE_MAIN templates`."""
    source = load_source("dtd", "templates", "main")
    assert source.name == "templates" and source.file == "dtd (CLIP's templates)"
    assert source.get("polka-dotted")[1] == "a photo of many polka-dotted."
    assert source.get("polka-dotted") != load_source("dtd", "main").get("polka-dotted")
