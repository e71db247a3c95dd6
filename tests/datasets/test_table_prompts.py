"""Prompts of TTC's and CLIP_benchmark's tables: wordings, numbers of templates, and names of classes."""

from __future__ import annotations

import pytest

from datasets.table_prompts import prompts


def ttc(dataset: str, *names: str) -> list[str]:
    (texts,) = prompts("ttc", dataset, names)
    return texts


def test_ttc_has_one_prompt_for_each_dataset():
    assert ttc("CIFAR100", "aquarium fish") == ["This is a photo of a aquarium_fish."]
    assert ttc("ImageNet", "tench") == ttc("TinyImageNet", "tench") == ["This is a photo of a tench."]
    assert ttc("Caltech256", "backpack") == ["A photo of a backpack."]
    assert ttc("FGVCAircraft", "707-320", "A300B4") == [
        "A photo of a Boeing 707-320, a type of aircraft.", "A photo of a a300b4, a type of aircraft.",
    ]  # fmt: skip
    assert ttc("StanfordCars", "2000 AM General Hummer SUV") == ["A photo of a am general hummer suv."]
    assert ttc("OxfordFlowersTTC", "Pink Primrose") == ["A photo of a pink primrose, a type of flower."]
    assert ttc("PCAM", "lymph node", "lymph node containing metastatic tumor tissue") == [
        "This is a photo of a healthy lymph node tissue.", "This is a photo of a lymph node tumor tissue.",
    ]  # fmt: skip
    faces = ttc("Caltech101TTC", "off-center face", "centered face", "garfield cat", "airplane")
    assert faces[0] == faces[1] == "This is a photo of a person." and faces[2].endswith("garfield_cat.")
    assert faces[3] == "This is a photo of a airplanes."


@pytest.mark.parametrize(
    ("dataset", "count"),
    [("CIFAR10", 18), ("CIFAR100", 18), ("STL10", 2), ("Country211", 5), ("PCAM", 2), ("DescribableTextures", 8),
     ("Caltech101TTC", 34), ("StanfordCars", 8), ("EuroSAT", 3), ("FGVCAircraft", 2), ("SUN397TTC", 2),
     ("OxfordPets", 1), ("OxfordFlowers", 1), ("Food101", 1), ("ImageNet", 80), ("ImageNetSketch", 80)],
)  # fmt: skip
def test_clip_benchmark_averages_several(dataset, count):
    texts = [text for (text,) in prompts("clip_benchmark", dataset, ["x"])]
    assert len(texts) == len(set(texts)) == count
    assert all(text.count("x") == 1 or "texture" in text for text in texts if dataset == "DescribableTextures")


def test_names_of_clip_benchmark():
    assert prompts("clip_benchmark", "EuroSATTTC", ["Sea or Lake"])[0] == ["a centered satellite photo of lake or sea."]
    assert prompts("clip_benchmark", "PCAM", ["lymph node"])[1] == ["histopathology image of lymph node"]
    cifar = [text for (text,) in prompts("clip_benchmark", "CIFAR100", ["aquarium fish"])]
    assert cifar[0] == "a photo of a aquarium fish." and cifar[-1] == "a photo of the big aquarium fish."
