"""Zero-shot CLIP beside published numbers: the embedded CLIP as shipped, and the likely cause of a difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from datasets.reading.catalog import find
from datasets.templates import DEFAULT, custom_template
from robustprompt import calibrate
from robustprompt.entrance import main
from robustprompt.references import Reference, references

OWN = custom_template("OxfordPets")


@pytest.fixture
def pets() -> calibrate.Measured:
    """Four classes on the axes; with CoOp's template all four images are right, with the plain one class 3 is lost."""
    names = ["a_b", "c", "d", "e"]

    def encode(texts: list[str]) -> torch.Tensor:
        features = torch.eye(4)
        return features if texts[0] == OWN.format("a b") else features[[0, 1, 2, 2]]

    return calibrate.Measured(find("oxford_pets"), torch.eye(4), torch.arange(4), names, encode)


def reference(accuracy: float, part: str = "all", templates: str = "coop") -> Reference:
    return Reference("ViT-B/16", "oxford_pets", part, templates, accuracy, "a paper")


def test_published_numbers_by_backbone():
    found = {(r.dataset, r.part): r for r in references("ViT-B/16")}
    assert found["caltech101", "base"].accuracy == 96.84 and found["eurosat", "new"].accuracy == 64.05
    assert found["imagenet", "all"].accuracy == 66.73 and found["imagenet", "all"].templates == "coop"
    assert not any(part == "hm" or name == "average" for name, part in found)
    resnet = {r.dataset: r for r in references("RN50")}
    assert resnet["caltech101"].accuracy == 85.9 and resnet["caltech101"].templates == "plain"
    assert {r.dataset for r in references("Embedded")} == {"digits", "shapes", "textures", "letters", "objects"}


def test_halves_have_their_own_candidates(pets):
    assert pets.accuracy([OWN]) == (100, 4) and pets.accuracy([DEFAULT]) == (75, 4)
    assert pets.accuracy([DEFAULT], "base") == (100, 2) and pets.accuracy([DEFAULT], "new") == (50, 2)


def test_the_likely_cause(pets):
    def cause(accuracy: float, measured=pets, far=("oxford_pets",), count=1) -> str:
        return calibrate._cause(reference(accuracy), measured, set(far), count)

    assert cause(75.1) == "template: 'a photo of a {}.' gives the published number"
    assert cause(60, replace(pets, wrong="7 test instead of 8.")) == "split: 7 test instead of 8"
    assert "2 of 3 datasets differ" in cause(60, far=("oxford_pets", "dtd"), count=3)
    assert "split and class names are CoOp's" in cause(60, far=("oxford_pets",), count=3)
    assert cause(60, replace(pets, entry=find("letters"))) == "class names, or other images than the paper's"


def test_the_table(pets):
    rows = [(reference(99.8), 100.0, 4), (reference(75, "new"), 50.0, 2)]
    text, code = calibrate._text("ViT-B/16", rows, {"oxford_pets": pets})
    assert code == 1 and "1 number of 2 differ" in text
    near, far = text.splitlines()[4:6]
    assert near.split() == ["oxford_pets", "all", "4", "100.00", "99.80", "+0.20", "a", "paper"]
    assert "-25.00" in far and "split and class names are CoOp's" in far
    assert calibrate._text("ViT-B/16", rows[:1], {"oxford_pets": pets})[1] == 0


def test_the_embedded_clip_is_as_it_was_shipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    where = ["--root", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
    assert main(["doctor", "--calibrate", "digits", "--backbone", "Embedded", *where]) == 0
    out = capsys.readouterr().out
    rows = [line.split()[:5] for line in out.splitlines() if line.startswith("digits")]
    assert [row[:3] for row in rows] == [["digits", "all", "1000"], ["digits", "base", "500"], ["digits", "new", "500"]]
    assert "All 3 agree" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backbone", "ViT-L/14"], "no published zero-shot accuracy of ViT-L/14"),
        ([], "None of "),
        (["digits"], "No paper here has zero-shot ViT-B/16 on digits"),
        (["digts", "--backbone", "Embedded"], "There is no dataset 'digts'; nearest: digits"),
    ],
)
def test_bad_input_is_one_sentence(words, said, tmp_path, capsys):
    names, rest = ([words[0]], words[1:]) if words and not words[0].startswith("-") else ([], words)
    code = main(["doctor", "--calibrate", *names, "--root", str(tmp_path), "--output", str(tmp_path / "o"), *rest])
    error = capsys.readouterr().err.strip()
    assert code == 2 and said in error and "\n" not in error and not (tmp_path / "o").exists()
