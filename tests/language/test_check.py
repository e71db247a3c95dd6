"""`python -m language check`: every kind of fault is found, named with its line, and our own files have none."""

from __future__ import annotations

import json

import pytest

from dassl.utils import InputError
from datasets.embedded.vocab import CLASSES
from language import cache_stem, load_cache
from language.__main__ import main
from language.check import LEAST, check_file, own_files
from language.names import CLASSNAMES, class_names, fold, halves
from language.readers import DESCRIPTIONS
from language.stems import STEMS, WITHOUT_SENTENCES

STEM = "eurosat"
COUNTS = {
    "caltech101": 100,
    "dtd": 47,
    "eurosat": 10,
    "fgvc_aircraft": 100,
    "food101": 101,
    "imagenet": 1000,
    "oxford_flowers": 102,
    "oxford_pets": 37,
    "stanford_cars": 196,
    "sun397": 397,
    "ucf101": 101,
    **{stem: len(names) for stem, names in CLASSES.items()},
}


@pytest.fixture
def sentences() -> dict[str, list[str]]:
    """A faultless cache of EuroSAT in CoPrompt's form."""
    seen = ["from far above", "in pale colours", "with sharp borders"]
    return {
        name: [f"{i}{j} things are seen {how}." for j, how in enumerate(seen)]
        for i, name in enumerate(class_names(STEM))
    }


def faults(tmp_path, content, name="eurosat_prompt.json", **kwargs) -> list[str]:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return [text for _, text in check_file(file, **kwargs).faults]


@pytest.mark.parametrize("file", own_files(), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_our_own_files_have_no_faults(file):
    """Coverage of every class, counts, uniqueness, length; no class among the novel names."""
    report = check_file(file)
    assert report.faults == [] and "unknown" not in report.summary


def test_class_lists_are_those_of_the_datasets():
    assert {file.stem: len(class_names(file.stem)) for file in CLASSNAMES.glob("*.txt")} == COUNTS
    assert all(class_names(stem) == list(names) for stem, names in CLASSES.items())
    assert class_names("ImageNetSketch") == class_names("imagenet") and class_names("Folder") is None
    assert halves(class_names("oxford_pets"))[0][-1] == class_names("oxford_pets")[18]


def test_there_is_a_cache_for_every_dataset_with_classes_of_its_own():
    wanted = {cache_stem(stem) for stem in STEMS.values()} - {"folder", *WITHOUT_SENTENCES}
    assert {file.stem for file in DESCRIPTIONS.glob("*.json")} == wanted == set(COUNTS)
    assert LEAST == {"imagenet": 3}


def test_all_caches_are_small():
    assert sum(file.stat().st_size for file in own_files()) < 3_000_000


@pytest.mark.parametrize(("other", "name"), [("hammerhead", "hammerhead shark"), ("Water Ouzel", "American dipper")])
def test_other_names_of_imagenet_classes_find_their_sentences(other, name):
    cache = load_cache("ImageNetA")
    assert cache.get(other) == cache.get(name) and cache.draw(other, "noise", 1) == cache.draw(name, "noise", 1)


def test_a_good_file_of_a_user_has_no_faults(tmp_path, sentences):
    assert faults(tmp_path, sentences) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda s: s.pop("River"), ["class 'River' of eurosat is missing"]),
        (lambda s: s.update(Lake=["A sea."]), ["'Lake' is no class of eurosat"]),
        (lambda s: s["River"].append(" "), ["class 'River' has an empty sentence"]),
        (
            lambda s: s["River"].append(s["Forest"][0].upper()),
            ["'10 things are seen from far above.' occurs 2 times"],
        ),
        (lambda s: s["River"].append("many " * 80 + "trees."), ["has 84 tokens, and CLIP reads 77"]),
        (
            lambda s: [s[n].append(f"This {n} is green.") for n in list(s)[:4]],
            ["'this _ is green.' is a template: 4 classes have it, each with its own name"],
        ),
    ],
)
def test_faults_of_a_cache_are_named(tmp_path, sentences, change, found):
    change(sentences)
    told = faults(tmp_path, sentences)
    assert len(told) == len(found) and all(part in text for part, text in zip(found, told, strict=True))


def test_too_few_sentences(tmp_path, sentences):
    sentences["River"] = sentences["River"][:1]
    assert faults(tmp_path, sentences, least=2) == ["class 'River' has fewer than 2 sentences: 1"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Name-0", "'Name-0' repeats 'name 0'"),
        ("highway_or_Roads", "'highway_or_Roads' is the class 'Highway or Road' of eurosat"),
        ("Wide rivers", "'Wide rivers' gives the new class 'River' of eurosat away"),
        ("very " * 70 + "wide", "tokens too long for a prompt"),
    ],
)
@pytest.mark.parametrize("form", ["lines", "ours"])
def test_faults_of_novel_names_are_named(tmp_path, name, found, form):
    names = [f"name {i}" for i in range(200)]
    ours = json.dumps({"version": 1, "dataset": "EuroSAT", "names": [*names, name]}, indent=1)
    told = faults(
        tmp_path,
        "\n".join([*names, name]) if form == "lines" else ours,
        f"{STEM}.{'txt' if form == 'lines' else 'json'}",
    )
    assert len(told) == 1 and found in told[0]


def test_too_few_novel_names_and_other_names_of_classes(tmp_path):
    assert faults(tmp_path, '["a", "b"]', "eurosat.json") == ["it holds 2 names, fewer than 200"]
    names = ["hammerheads", *(f"name {i}" for i in range(200))]
    assert faults(tmp_path, names, "imagenet.json") == ["'hammerheads' is the class 'hammerhead' of imagenet"]


def test_the_command_prints_lines_and_tells_by_its_exit_code(tmp_path, capsys, sentences):
    file = tmp_path / "eurosat_prompt.json"
    file.write_text(json.dumps(sentences, indent=1))
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 10 classes, 30 sentences, at most 11 tokens; no faults\n"
    sentences["Rivers"] = sentences.pop("River")
    file.write_text(json.dumps(sentences, indent=1))
    assert main(["check", str(file)]) == 1
    line = file.read_text().splitlines().index(' "Rivers": [') + 1
    assert capsys.readouterr().out.splitlines() == [
        f"{file}: class 'River' of eurosat is missing",
        f"{file}:{line}: 'Rivers' is no class of eurosat",
        f"{file}: 10 classes, 30 sentences, at most 11 tokens; 2 faults",
    ]
    assert main(["check", str(file), "--dataset", "folder"]) == 0
    assert "classes of folder unknown: not compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"a": "b"}', "should hold a list of sentences"),
        ('["a", 3]', "should hold a list of names"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, capsys, content, message):
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        check_file(file)
    assert main(["check", str(file)]) == 2
    assert message in capsys.readouterr().err
    assert main(["check", str(tmp_path / "none.txt")]) == 2
    assert "none.txt cannot be read" in capsys.readouterr().err


def test_folding():
    assert fold("Polka_Dots") == fold("polka-dot") and fold("Cities") == fold("city") and fold("crosses") == "cross"
    assert fold("glass") == "glass" and fold("letter S") == "letter s"


BAD = {
    "a class twice": ('{"zero": ["a"], "zero": ["b"]}', "'zero' occurs twice"),
    "a source twice": (
        '{"version": 1, "dataset": "digits", "sources": {"m": {}}, "classes": {"zero": {"m": ["a"], "m": ["b"]}}}',
        "'m' occurs twice",
    ),
    "nested": ("[" * 100_000, "nested too deeply"),
    "nested objects": ('{"a": ' * 100_000, "nested too deeply"),
    "dataset a number": ('{"version": 1, "dataset": 5, "sources": {}, "classes": {}}', '"dataset" should be a text'),
    "sources of numbers": ('{"version": 1, "dataset": "d", "sources": {"m": 5}, "classes": {}}', "'m' under"),
    "aliases of lists": (
        '{"version": 1, "dataset": "d", "sources": {"m": {}}, "classes": {}, "aliases": {"a": ["zero"]}}', "'a' under",
    ),
    "not UTF-8": (b'\xff\xfe{"a": ["b"]}', "not UTF-8"),
    "empty": ("", "not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("command", ["check", "encode"])
@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_sentence(case, command, tmp_path, capsys):
    content, says = BAD[case]
    file = tmp_path / "mine.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = ["check", str(file)] if command == "check" else ["encode", "digits", "--cpu", "--file", str(file)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error and str(file) in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["encode", "digits", "--file", "nope"], "nope cannot be read"),
        (["encode", "digits", "--file", "language"], "language cannot be read"),
        (["check", "--dataset", "nope"], "--dataset nope is not known"),
        (["check", "--least", "-1"], "--least is -1"),
    ],
)
def test_bad_words_are_one_sentence(words, says, capsys):
    assert main(words) == 2 and says in capsys.readouterr().err


def test_a_file_of_ones_own_needs_no_ending(tmp_path, capsys):
    """With a byte order mark, too, and under any name; one without a sentence has nothing to be encoded."""
    file = tmp_path / "mine"
    file.write_text('\ufeff{"zero": ["a round shape"]}', encoding="utf-8")
    assert main(["encode", "digits", "--cpu", "--file", str(file)]) == 0
    assert ": 1 sentence of source" in capsys.readouterr().out
    file.write_text('{"zero": []}')
    assert main(["encode", "digits", "--cpu", "--file", str(file)]) == 2
    assert "holds no sentence" in capsys.readouterr().err


def test_two_spellings_of_one_class_are_a_fault(tmp_path):
    found = faults(tmp_path, {"polka_dots": ["a b"], "polka dots": ["c d"]}, "mine.json")
    assert found == ["'polka dots' and 'polka_dots' are one class: its sentences are not used"]
