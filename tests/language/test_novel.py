"""Novel class names: the lists in the tree, and the sources that they can come from."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dassl.utils import InputError
from datasets.embedded import captions
from datasets.embedded.vocab import CLASSES
from language import load_novel, overlap, read_names
from language.check import check_file
from language.names import CLASSNAMES, class_names, fold, halves
from language.novel import NOVEL_CLASSES

ALL = sorted(file.stem for file in CLASSNAMES.glob("*.txt"))
TOKENS = Path(__file__).parents[2] / "clipkit" / "embedded" / "trained_tokens.json"


def test_every_dataset_has_a_list():
    assert {file.stem for file in NOVEL_CLASSES.glob("*.json")} == set(ALL)


@pytest.mark.parametrize("stem", ALL)
def test_a_list_is_complete_varied_and_gives_no_class_away(stem):
    """Faults, each seen to be found in test_check.py: too few, twice, a class of the dataset, a new class in a name."""
    file = NOVEL_CLASSES / f"{stem}.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    assert (data["version"], data["dataset"], data["split"], data["source"]) == (1, stem, "base", "llm")
    assert data["note"].endswith(".") and len(data["note"]) > 60
    assert len(data["names"]) == 200 and all(name == name.strip() and len(name.split()) <= 7 for name in data["names"])
    assert check_file(file).faults == []
    base, new = halves(class_names(stem))
    novel = load_novel(stem, base_names=base)
    assert list(novel.names) == data["names"] and novel.source == "llm"
    assert overlap(novel.names, new) == 0


def test_shapes_hide_new_shapes_in_other_patterns_too():
    _, new = halves(class_names("shapes"))
    hidden = {name.split()[1] for name in new}
    names = load_novel("shapes", base_names=[]).names
    assert [name for name in names if hidden & set(fold(name).split())] == []


def test_style_follows_the_base_names():
    eurosat = load_novel("eurosat", base_names=[]).names
    assert all(part[0].isupper() for name in eurosat for part in re.split("[ -]", name))
    dtd = load_novel("dtd", base_names=[]).names
    assert all(re.fullmatch("[a-z]+(-[a-z]+)?", name) for name in dtd), "one word, as dotted or polka-dotted"


@pytest.mark.parametrize("stem", CLASSES)
def test_the_small_clip_has_met_every_word(stem):
    trained = {int(token) for token in json.loads(TOKENS.read_text(encoding="utf-8"))}
    names = json.loads((NOVEL_CLASSES / f"{stem}.json").read_text(encoding="utf-8"))["names"]
    assert [name for name in names if not set(captions.encode(name)) <= trained] == []


def test_registry_names_and_variants_find_the_list():
    assert load_novel("DescribableTextures", base_names=[]) == load_novel("dtd", "list", base_names=[])
    assert load_novel("ShapesSketch", base_names=[]) == load_novel("shapes", base_names=[])


def test_a_smaller_choice_depends_on_seed_and_dataset_alone():
    def fifty(seed=1, dataset="dtd", count=50):
        return load_novel(dataset, base_names=[], count=count, seed=seed).names

    whole, state = load_novel("dtd", base_names=[]).names, random.getstate()
    assert len(set(fifty())) == 50 and fifty() == tuple(name for name in whole if name in fifty()), "in file order"
    random.seed(7)
    assert fifty() == fifty() and random.random() == random.Random(7).random()
    random.setstate(state)
    assert set(fifty()) < set(fifty(count=80)) and fifty() != fifty(seed=2)
    assert fifty() != whole[:50]
    places = [[load_novel(d, base_names=[]).names.index(n) for n in fifty(dataset=d)] for d in ("dtd", "eurosat")]
    assert places[0] != places[1]


@pytest.mark.parametrize("form", ["ours", "list", "lines"])
def test_a_users_file(tmp_path, caplog, form):
    names = ["sea_horse", "Yak ", "mouse", "YAK", "gnu", "Moose"]
    file = tmp_path / ("names.txt" if form == "lines" else "names.json")
    if form == "lines":
        file.write_text("\n".join(names[:3]) + "\n\n" + "\n".join(names[3:]), encoding="utf-8-sig")
    else:
        ours = {"version": 1, "dataset": "DescribableTextures", "source": "llm", "names": names}
        file.write_text(json.dumps(ours if form == "ours" else names))
    novel = load_novel("dtd", "file", str(file), base_names=["Mouse", "cat"], count=4)
    assert novel.names == ("sea horse", "Yak", "gnu", "Moose"), "tidy, each once, in file order, no base class"
    assert (novel.source, novel.file) == ("llm" if form == "ours" else "file", str(file))
    assert [r.getMessage() for r in caplog.records] == [
        f"Warning: 1 novel names of {file} are base classes and are dropped"
    ]
    assert load_novel("dtd", file=str(file), base_names=["Mouse", "cat"], count=4) == novel, "the file alone will do"
    assert overlap(novel.names, ["yak", "Gnu", "lion"]) == 2, "new classes are counted, not dropped"
    other = load_novel("dtd", "file", str(file), base_names=["mouse", "moose"], count=3)
    assert len(novel.sha256) == 64 and other.sha256 != novel.sha256
    with pytest.raises(InputError, match=r"names\.\w+ holds 5 usable novel names, but 200 are needed"):
        load_novel("dtd", "file", str(file), base_names=[])


def test_a_file_for_another_dataset_is_worth_a_warning(caplog):
    file = str(NOVEL_CLASSES / "dtd.json")
    assert len(load_novel("eurosat", "file", file, base_names=[]).names) == 200
    assert "were written for dtd, not eurosat" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"version": 2, "names": ["a"]}', "version 2 .* is not known"),
        ('{"version": 1, "names": "a b"}', "should hold a list of names"),
        ('["a", " "]', "should hold a list of names"),
        ('["a", 3]', "should hold a list of names"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(InputError, match=f"bad.json.*{message}"):
        read_names(file)


def test_wrong_requests_get_one_sentence(tmp_path):
    with pytest.raises(InputError, match="Folder, only for caltech101, digits, .*NOVEL_SOURCE file.*NOVEL_FILE"):
        load_novel("Folder", base_names=[])
    with pytest.raises(InputError, match="'gpt' is not known; it is one of llm"):
        load_novel("dtd", "gpt", base_names=[])
    with pytest.raises(InputError, match="NOVEL_FILE"):
        load_novel("dtd", "file", base_names=[])
    with pytest.raises(InputError, match="their source is 'wordnet'; set it to file"):
        load_novel("dtd", "wordnet", file="names.txt", base_names=[])
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_novel("dtd", "file", str(tmp_path / "none.txt"), base_names=[])
    with pytest.raises(InputError, match="at least 1"):
        load_novel("dtd", base_names=[], count=0)


def test_the_oracle_is_the_real_new_classes():
    base, new = halves(class_names("eurosat"))
    novel = load_novel("eurosat", "oracle", base_names=base, new_names=new)
    assert novel.names == tuple(new) and overlap(novel.names, new) == 5
    assert (novel.source, novel.file) == ("oracle", "")
    for nothing in (None, []):
        with pytest.raises(InputError, match="new class names of eurosat"):
            load_novel("eurosat", "oracle", base_names=base, new_names=nothing)
    with pytest.raises(InputError, match="holds 0 usable"):
        load_novel("eurosat", "oracle", base_names=base, new_names=base)


class NoData(Exception):
    pass


LEMMAS = [["yak", "grunting_ox"], ["Paris"], ["banded"], ["yak"], *([f"noun{i}"] for i in range(30))]


def fake_wn(monkeypatch, lemmas):
    def words(pos, lang):
        assert (pos, lang) == ("n", "en")
        if lemmas is None:
            raise NoData("no lexicon found")
        return [SimpleNamespace(lemma=lambda text=text: text.replace("_", " ")) for texts in lemmas for text in texts]

    monkeypatch.setitem(sys.modules, "wn", SimpleNamespace(words=words, Error=NoData))


def fake_nltk(monkeypatch, lemmas):
    def all_synsets(pos):
        assert pos == "n"
        if lemmas is None:
            raise LookupError("Resource wordnet not found.")
        return [SimpleNamespace(lemma_names=lambda texts=texts: texts) for texts in lemmas]

    monkeypatch.setitem(sys.modules, "wn", None)  # None: as if not installed
    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace())
    corpus = SimpleNamespace(wordnet=SimpleNamespace(all_synsets=all_synsets))
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)


@pytest.mark.parametrize("fake", [fake_wn, fake_nltk])
def test_wordnet_gives_common_nouns(monkeypatch, fake):
    fake(monkeypatch, LEMMAS)
    everything = load_novel("dtd", "wordnet", base_names=["Banded"], count=32)
    assert set(everything.names) == {"yak", "grunting ox", *(f"noun{i}" for i in range(30))}
    few = load_novel("dtd", "wordnet", base_names=["banded"], count=5, seed=3)
    assert set(few.names) < set(everything.names) and (few.source, few.file) == ("wordnet", "")
    fake(monkeypatch, LEMMAS[::-1])
    assert load_novel("dtd", "wordnet", base_names=["banded"], count=5, seed=3) == few, "whatever order WordNet has"
    assert load_novel("dtd", "wordnet", base_names=["banded"], count=5, seed=4) != few
    with pytest.raises(InputError, match="WordNet .* holds 32 usable"):
        load_novel("dtd", "wordnet", base_names=["banded"], count=33)


def test_without_wordnet_the_way_to_get_it_is_named(monkeypatch):
    fake_wn(monkeypatch, None)
    with pytest.raises(InputError, match="wn has no English WordNet; .*python -m wn download oewn"):
        load_novel("dtd", "wordnet", base_names=[])
    fake_nltk(monkeypatch, None)
    with pytest.raises(InputError, match="nltk has no WordNet data; .*python -m nltk.downloader wordnet"):
        load_novel("dtd", "wordnet", base_names=[])
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(InputError, match="needs the package wn: `pip install wn`"):
        load_novel("dtd", "wordnet", base_names=[])
