"""Reading caches in our form, CoPrompt's, HPT's, and class lists; names of datasets; damaged files."""

from __future__ import annotations

import json

import pytest

from dassl.utils import InputError
from language import (
    cache_stem,
    dataset_stem,
    load_cache,
    load_source,
    read_classlist,
    read_coprompt,
    read_harness,
    read_hpt,
)
from language.stems import STEMS, dassl_name


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return str(path)


PLAIN = {"Annual Crop Land": ["a.", "b.", "c."], "River": ["d."]}
FIVE = {"banded": [f"look {i}" for i in range(5)], "dotted": [f"spot {i}" for i in range(5)]}
OURS = {
    "version": 1,
    "dataset": "dtd",
    "dassl_name": "DescribableTextures",
    "sources": {
        "coprompt": {"license": "MIT", "model": "m", "ordered": False},
        "hpt": {"license": "MIT", "ordered": True},
    },
    "classes": {"banded": {"coprompt": ["x."], "hpt": ["y.", "z."]}},
}


def test_coprompts_form(tmp_path):
    cache = read_coprompt(write(tmp_path / "fgvc_prompt.json", PLAIN))
    assert (cache.dataset, cache.dassl_name) == ("fgvc_aircraft", "FGVCAircraft")
    assert cache.get("annual crop land") == ["a.", "b.", "c."] and cache.get("River", "coprompt") == ["d."]
    assert not cache.sources["coprompt"]["ordered"]


def test_hpts_form(tmp_path):
    cache = read_hpt(write(tmp_path / "DescribableTextures.json", FIVE))
    assert cache.dataset == "dtd" and cache.sources["hpt"]["ordered"]
    assert cache.get("banded", "hpt")[3] == "look 3"
    with pytest.raises(InputError, match="'River' has 1 sentences, but HPT's files hold 5 each|has 3 sentences"):
        read_hpt(write(tmp_path / "EuroSAT.json", PLAIN))


def test_our_form(tmp_path):
    cache = read_harness(write(tmp_path / "dtd.json", OURS))
    assert cache.get("banded", "hpt") == ["y.", "z."] and list(cache.sources) == ["coprompt", "hpt"]
    assert cache.dassl_name == "DescribableTextures"


def test_a_cache_is_found_by_any_name_of_the_dataset(tmp_path):
    write(tmp_path / "dtd.json", OURS)
    assert load_cache("DescribableTextures", tmp_path).sha256 == load_cache("dtd", tmp_path).sha256
    imagenet = {**OURS, "dataset": "imagenet"}
    write(tmp_path / "imagenet.json", imagenet)
    for variant in ("ImageNetA", "imagenet_r", "ImageNetV2", "imagenet_sketch"):
        assert load_cache(variant, tmp_path).dataset == "imagenet"
    write(tmp_path / "imagenet_r.json", {**OURS, "dataset": "imagenet_r"})
    assert load_cache("ImageNetR", tmp_path).dataset == "imagenet_r", "a file of its own comes first"


def test_a_file_in_any_form_may_be_named(tmp_path):
    assert list(load_cache(write(tmp_path / "a.json", PLAIN)).sources) == ["coprompt"]
    assert list(load_cache(write(tmp_path / "b.json", FIVE)).sources) == ["hpt"]
    ours = write(tmp_path / "c.json", OURS)
    assert load_source("digits", ours, role="noise").name == "hpt"
    assert load_source("digits", ours).name == "coprompt"
    assert load_source("digits", str(tmp_path / "b.json"), role="main").name == "hpt", "the only source serves any role"


def test_class_lists(tmp_path):
    assert read_classlist(write(tmp_path / "pets.txt", "abyssinian\n american bulldog \n\n")) == [
        "abyssinian",
        "american bulldog",
    ]
    with pytest.raises(InputError, match="holds no class names"):
        read_classlist(write(tmp_path / "empty.txt", "\n"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{", "is not JSON"),
        ([1], "should hold an object"),
        ({**OURS, "version": 2}, "version 2 of the cache format"),
        ({"version": 1, "dataset": "dtd", "sources": {"main": {}}}, 'is no language cache: it has no "classes"'),
        ({**OURS, "sources": {"hpt": {}}}, 'not listed under "sources"'),
        ({**OURS, "classes": {"banded": {"hpt": "y."}}}, "'hpt' should hold a list of sentences"),
        ({**OURS, "classes": ["banded"]}, "is no language cache"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, data, sentence):
    with pytest.raises(InputError, match=sentence):
        read_harness(write(tmp_path / "dtd.json", data))


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="nothere.json cannot be read: No such file"):
        load_cache(str(tmp_path / "nothere.json"))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_cache(str(tmp_path / "binary.json"))


def test_names_of_datasets():
    assert dataset_stem("caltech") == dataset_stem("Caltech101") == dataset_stem("caltech101") == "caltech101"
    assert [cache_stem(name) for name in ("ImageNetV2", "ShapesInverted", "Mine")] == ["imagenet", "shapes", "mine"]
    assert all(dassl_name(stem) == name for name, stem in STEMS.items())
