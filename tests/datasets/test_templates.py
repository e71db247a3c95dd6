"""Templates: verbatim wordings, counts, and that every dataset YAML names a registered dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from dassl.data.datasets import DATASET_REGISTRY
from datasets.templates import FULL80, SELECTED, STYLES, TCP_LEARNABLE, clean_name, custom_template, template_set
from language.stems import STEMS

CONFIGS = Path(__file__).parents[2] / "configs" / "datasets"


def test_the_full_set_is_clips():
    assert len(FULL80) == len(set(FULL80)) == 80
    assert FULL80[0] == "a bad photo of a {}." and FULL80[-1] == "a tattoo of the {}."
    assert FULL80[60] == "a jpeg corrupted photo of the {}.", "PromptSRC's 60 end before this one"
    digest = hashlib.sha256("\n".join(FULL80).encode()).hexdigest()
    assert digest.startswith("4f976686fb651bb5"), "wordings and order are fixed"
    assert set(SELECTED) < set(FULL80) and len(SELECTED) == 7


def test_styles_differ_where_the_papers_do():
    assert custom_template("OxfordPets") == "a photo of a {}, a type of pet."
    assert [custom_template("DescribableTextures", s) for s in ("coop", "kg", "tcp", "sar", "prograd")] == [
        "{} texture.",
        *["a photo of a {}, a type of texture."] * 3,
        "a texture of {}.",
    ]
    assert [custom_template("FGVCAircraft", s) for s in ("coop", "tcp")] == [
        "a photo of a {}, a type of aircraft.",
        "a photo of an aircraft {}.",
    ]
    assert [custom_template("Food101", s) for s in ("coop", "tcp", "sar")] == [
        "a photo of {}, a type of food.",
        "a photo of a {}, a type of food.",
        "a photo of {}, a type of food.",
    ]
    for name in ("Caltech101", "ImageNetR", "ShapesSketch", "SomebodysOwn"):
        assert {custom_template(name, style) for style in STYLES} == {"a photo of a {}."}


def test_tcp_has_texts_of_its_own_for_its_context():
    assert custom_template("StanfordCars", "tcp_learnable") == "X X X X {}, a type of car", "no full stop"
    assert custom_template("DescribableTextures", "tcp_learnable") == "X X X X {} texture."
    assert custom_template("UCF101", "tcp_learnable") == "a photo of a person doing {}."
    assert custom_template("ImageNetA", "tcp_learnable") == "a photo of a {}."
    # the context overwrites four words, so each text has four before the name
    assert all(len(text.split("{}")[0].split()) >= 4 for text in TCP_LEARNABLE.values())


def test_a_noisy_set_is_worded_as_its_clean_one():
    for style in (*STYLES, "tcp_learnable"):
        assert custom_template("Food101N", style) == custom_template("Food101", style) != "a photo of a {}."


def test_every_template_has_one_place_for_the_name():
    known = [t for style in STYLES.values() for t in style.values()]
    assert all(t.count("{}") == 1 and t.endswith(".") for t in [*FULL80, *known])


def test_template_sets():
    sizes = {
        kind: len(template_set(kind, "EuroSAT")) for kind in ("custom", "plain", "select", "select+custom", "full80")
    }
    assert sizes == {"custom": 1, "plain": 1, "select": 7, "select+custom": 8, "full80": 80}
    assert template_set("select+custom", "EuroSAT")[-1] == "a centered satellite photo of {}."
    with pytest.raises(KeyError):
        template_set("all", "EuroSAT")
    assert clean_name("Apply_Eye_Makeup") == "Apply Eye Makeup"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_dataset_configs_hold_the_name_only(file):
    config = yaml.safe_load(file.read_text())
    if file.stem == "webvision":  # the one set that is also judged by top-5
        assert config.pop("TEST") == {"EVALUATOR": "Top5"}
    keys = ["NAME", "FOLDER"] if file.stem == "folder" else ["NAME"]  # a set of one's own is told where it lies
    assert list(config) == ["DATASET"] and list(config["DATASET"]) == keys
    assert config["DATASET"]["NAME"] in DATASET_REGISTRY.registered_names()
    assert STEMS[config["DATASET"]["NAME"]] == file.stem
