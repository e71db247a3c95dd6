"""Classes without sentences, datasets without novel names: one sentence, or what LANGUAGE.MISSING lets stand in."""

from __future__ import annotations

import json

import pytest
from helpers import NAMES

from language import Cache, Source
from language.standing_in import with_templates

FACTS = {"main": {}, "noise": {}}


@pytest.fixture
def source():
    classes = {c: {"main": [f"{c} {i}." for i in range(n)], "noise": [f"a {c}."]} for c, n in (("cat", 5), ("dog", 3))}
    return Source(Cache("toy", FACTS, classes, aliases={"puss": "cat"}), "main")


def test_the_others_stay_as_they_are(source, caplog):
    found = with_templates(source, ["cat", "sea_horse", "puss", "yak"], "toy")
    (record,) = caplog.records
    assert "toy has no main sentences for 2 of 4 classes (sea horse, yak)" in record.getMessage()
    assert found.get("yak") == ["a photo of a yak.", "a bad photo of a yak.", "a photo of many yak."]  # as many as dog
    for name in ("cat", "puss", "dog"):
        assert found.get(name) == source.get(name)
        assert found.cache.draw(name, "main", 3, 5) == source.cache.draw(name, "main", 3, 5)
    assert found.file == source.file and found.sha256 != source.sha256
    assert found.cache.shared_index("main", 1) == source.cache.shared_index("main", 1)


def test_nothing_changes_where_nothing_is_missing(source, caplog):
    assert with_templates(source, ["CAT", "dog"], "toy") is source and not caplog.records


# What each method reads, and from what.
READERS = {
    "ANPrompt": [f"TRAINER.ANPROMPT.CACHE_{role}" for role in ("MAIN", "NOISE")],
    "CoPrompt": ["TRAINER.CoPrompt.CACHE"],
    "ANPromptSAR": [f"TRAINER.ANPROMPT.CACHE_{role}" for role in ("MAIN", "NOISE")],
}
SAR = {"TRAINER.SAR.NUM_NOVEL": 6, "TRAINER.SAR.SAMPLE_SIZE": 4}


@pytest.mark.parametrize("method", READERS)
def test_every_method_that_reads_sentences(method, tiny, tmp_path, capsys):
    sentences = {name: {"main": [f"{name} {i}." for i in range(6)], "noise": [f"a {name} {i}." for i in range(4)]}
                 for name in NAMES[1:]}  # fmt: skip
    (tmp_path / "cache.json").write_text(
        json.dumps({"version": 1, "dataset": "tiny", "sources": FACTS, "classes": sentences})
    )
    pairs = {"OPTIM.MAX_EPOCH": 1, **dict.fromkeys(READERS[method], tmp_path / "cache.json")}
    pairs |= {"TRAINER.ANPROMPT.KMEANS_SET": "all"} if method == "ANPrompt" else {}
    if method.endswith("SAR"):
        from helpers import FITTING

        pairs = FITTING["ANPrompt"] | pairs | SAR
    assert tiny.run(tmp_path / "refused", method, (), pairs) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"has no class '{NAMES[0]}'" in said and "LANGUAGE.MISSING stand_in" in said
    assert not (tmp_path / "refused").exists()
    assert tiny.run(tmp_path / "run", method, (), pairs | {"LANGUAGE.MISSING": "stand_in"}) == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    roles = len(READERS[method])
    assert log.count(f"classes ({NAMES[0]}); CLIP's templates are used instead") == roles
    if method == "ANPromptSAR":
        assert log.count("there is no list of novel names for Tiny; ImageNet's is used instead") == 1
    assert tiny.run(tmp_path / "wrong", method, (), pairs | {"LANGUAGE.MISSING": "templates"}) == 2
    assert "LANGUAGE.MISSING is 'templates', but must be one of refuse, stand_in" in capsys.readouterr().err


def test_novel_names_without_a_list(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "CoOpSAR", (), SAR) == 2
    assert (
        "no list of novel names for Tiny" in (said := capsys.readouterr().err) and "LANGUAGE.MISSING stand_in" in said
    )
    assert not (tmp_path / "run").exists()
    from language.novel import NOVEL_CLASSES, load_novel, read_names

    names = load_novel("tiny", base_names=["tench"], count=7, missing="stand_in")
    assert set(names.names) <= set(read_names(NOVEL_CLASSES / "imagenet.json")[0]) and len(names.names) == 7
    assert names.file.endswith("imagenet.json")
