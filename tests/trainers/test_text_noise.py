"""Noise in the text that a test meets, and in the sentences that a method trains on."""

from __future__ import annotations

import json
import random

import pytest
import torch
from helpers import NAMES

import train
from bench.suites.suite import read_suite
from dassl.engine import TRAINER_REGISTRY, build_trainer
from dassl.utils import InputError
from language.cache import Cache, Source, TemplateCache
from language.wrong_sentences import with_wrong
from runs.config_names import HAND_WRITTEN
from runs.protocols import plan
from runs.text_noise_protocol import ALL, COUNTS, LENGTHS, USUAL, points, spread
from trainers.shared import text_noise as noise

TYPO = {"TEST.TEXT_NOISE.KIND": "typo", "TEST.TEXT_NOISE.STRENGTH": 0.4}


def of(kind, strength, **more):
    return {"TEST.TEXT_NOISE.KIND": kind, "TEST.TEXT_NOISE.STRENGTH": strength, **more}


# ---------------------------------------------------------------------- the kinds


def test_rates_are_those_of_the_letters():
    name = "abcdefghijklmnopqrstuvwxyz" * 40
    for rate in (0.1, 0.4):
        changed = sum(a != b for a, b in zip(name, noise.case(name, rate, random.Random(1)), strict=True))
        assert changed / len(name) == pytest.approx(rate, abs=0.04)
    typed = noise.typo("q" * 4000, 0.5, random.Random(1))  # a swap of two equal letters changes nothing
    assert set(typed) == {"q", "w"} and typed.count("w") / 4000 == pytest.approx(0.125, abs=0.03)
    assert noise.ocr("moon", 1, random.Random(1)) == "rn00ri" and noise.ocr("42", 1, random.Random(1)) == "42"
    for kind in ("typo", "case", "ocr"):
        assert noise.NOISES[kind]("plain tree", 0, random.Random(1)) == "plain tree"
    assert all(noise.typo("a", 1, random.Random(i)) for i in range(50))  # a name is never empty


def test_words_around_the_name():
    found = noise.distractor("fish", 3, random.Random(2)).split()
    assert len(found) == 4 and found.count("fish") == 1 and set(found) - {"fish"} <= set(noise.DISTRACTORS)
    assert noise.paraphrase("fish", 2, random.Random()) == "one fish" and len(noise.PARAPHRASES) == 10


def test_the_usual_strengths_are_allowed():
    assert set(USUAL) == set(noise.KINDS) and set(ALL) | {"synonym", "template"} == set(USUAL)
    for kind, strengths in USUAL.items():
        for strength in strengths:
            noise.check_strength(kind, float(strength))
    for kind, strength in (("typo", 1.5), ("paraphrase", 11), ("template", 0), ("distractor", 1.5)):
        with pytest.raises(InputError, match=f"The strength of {kind}"):
            noise.check_strength(kind, strength)


# ---------------------------------------------------------------------- in runs


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    top = tmp_path_factory.mktemp("text")
    assert tiny.run(top / "CoOp", "CoOp") == 0
    return top


def outcome(tiny, top, name, method, pairs):
    flags = ("--eval-only",)
    if (top / method).is_dir():
        flags += ("--model-dir", top / method, "--load-epoch", 3)
    assert tiny.run(top / name, method, flags, pairs) == 0
    return json.loads((top / name / "results.json").read_text())


def test_all_methods_meet_the_same_names(tiny, trained):
    clean = outcome(tiny, trained, "clean", "CoOp", {})
    coop = outcome(tiny, trained, "typo", "CoOp", TYPO)
    zero = outcome(tiny, trained, "zero", "ZeroshotCLIP", TYPO)
    told = coop["text_noise"]
    assert told == zero["text_noise"] and "text_noise" not in clean and "TEXT_NOISE" not in clean["config"]["TEST"]
    assert told["changed"] == sum(a != b for a, b in zip(told["names"], NAMES[:3], strict=True)) > 0
    assert coop["classnames"] == clean["classnames"] == NAMES[:3]
    assert coop["settings_hash"] != clean["settings_hash"] and coop["scores"]["nll"] != clean["scores"]["nll"]
    other = outcome(tiny, trained, "seed7", "CoOp", TYPO | {"TEST.TEXT_NOISE.SEED": 7})
    assert other["text_noise"]["names"] != told["names"] and other["text_noise"]["sha256"] != told["sha256"]


def test_names_of_no_noise_change_nothing(tiny, trained):
    clean = json.loads((trained / "clean" / "results.json").read_text())
    for name, pairs in (("none", of("typo", 0.0)), ("upper", of("case", 1.0)), ("still", of("embedding", 0.0))):
        found = outcome(tiny, trained, name, "CoOp", pairs)  # CLIP's tokenizer knows no upper case
        assert found["scores"]["nll"] == pytest.approx(clean["scores"]["nll"], rel=1e-5), name


def test_a_template_takes_the_place_of_the_hand_written_prompt(tiny, trained):
    from datasets.templates import FULL80

    found = outcome(tiny, trained, "template", "ZeroshotCLIP", of("template", 3))
    assert found["text_noise"]["template"] == FULL80[2] and found["text_noise"]["changed"] == 0
    assert found["scores"]["nll"] != outcome(tiny, trained, "z", "ZeroshotCLIP", {})["scores"]["nll"]


@pytest.mark.parametrize("method", ["CoOp", "CoCoOp", "MMRL", "ANPrompt", "TPT", "ZERO"])
def test_noise_on_embeddings_by_hand(tiny, tmp_path, method):
    stand_in = {"LANGUAGE.MISSING": "stand_in"} if method == "ANPrompt" else {}
    words = tiny.arguments(tmp_path, method, ("--eval-only",), of("embedding", 0.5) | stand_in)
    trainer = build_trainer(train.setup_cfg(train.build_parser().parse_args(words)))
    t = torch.nn.functional.normalize(torch.randn(3, 64), dim=-1)
    moved = trainer.text_noise.moved(t)
    assert torch.equal(moved, trainer.text_noise.moved(t)) and moved.norm(dim=-1).allclose(torch.ones(3))
    apart = (moved / (moved * t).sum(-1, keepdim=True) - t).norm(dim=-1)  # tangent part of noise of length 0.5
    assert (apart > 0.25).all() and (apart < 1).all()
    assert torch.allclose(trainer.text_noise.moved(t[None].expand(2, 3, 64))[1], moved)
    with pytest.raises(InputError, match="this method compares with other texts"):
        trainer.text_noise.moved(t[:2])


@pytest.mark.parametrize(
    ("method", "flags", "pairs", "says"),
    [
        ("CoOp", (), TYPO, "TEST.TEXT_NOISE is noise of a test: give --eval-only"),
        ("CoOp", ("--eval-only",), of("template", 3), "and CoOp has none"),
        (
            "ZeroshotCLIP",
            ("--eval-only",),
            of("typo", 2.0),
            "The strength of typo is 2, but must be a number from 0 to 1",
        ),
        ("ZeroshotCLIP", ("--eval-only",), of("synonym", 1.0), "has no other names of its classes"),
        ("ZeroshotCLIP", ("--eval-only",), of("tpyo", 1.0), "do you mean typo"),
        ("ZeroshotCLIP", ("--eval-only",), {"TEST.TEXT_NOISE.STRENGTH": 0.5}, "has no effect without a kind of noise"),
    ],
)
def test_wrong_runs(tiny, tmp_path, capsys, method, flags, pairs, says):
    assert tiny.run(tmp_path / "x", method, flags, pairs) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said and not (tmp_path / "x" / "results.json").exists()


# ---------------------------------------------------------------------- protocol and suite


def test_words_of_the_script(tmp_path):
    assert len(spread([])) == sum(len(USUAL[kind]) for kind in ALL)
    assert spread(["typo,case", "0.10", "A.B", "2"]) == [("typo", "0.1", "A.B", "2"), ("case", "0.1", "A.B", "2")]
    for words, says in ((["tpyo", "1"], "no kind of text noise 'tpyo'"), (["typo"], "STRENGTHS must follow"),
                        (["typo", "much"], "strength of typo is 'much'")):  # fmt: skip
        with pytest.raises(InputError, match=says):
            spread(words)
    assert points("template", ["all"])[-1] == ("template", "80")
    env = {"OUTPUT": str(tmp_path)}
    (run,) = plan("text_noise_test", "ZeroshotCLIP", "digits", 2, env, ["ocr", "0.2"])
    assert (
        run[run.index("--output-dir") + 1]
        == f"{tmp_path}/text_noise/digits/ocr-0.2/shots_0/ZeroshotCLIP/embedded/seed2"
    )
    assert "TEST.TEXT_NOISE.KIND ocr TEST.TEXT_NOISE.STRENGTH 0.2" in " ".join(run)
    with pytest.raises(InputError, match="few_shot.sh digits 1"):
        plan("text_noise_test", "CoOp", "digits", 1, env, [])


def test_plans_know_the_largest_strengths_and_who_has_a_template():
    assert {kind: noise.most(kind) for kind in COUNTS | LENGTHS} == COUNTS | LENGTHS and set(COUNTS) == set(
        noise.COUNTS
    )
    methods = {name: TRAINER_REGISTRY.get(name) for name in TRAINER_REGISTRY.registered_names()}
    ours = [name for name, method in methods.items() if method.__module__.startswith("trainers.")]
    assert {name for name in ours if getattr(methods[name], "hand_written", False)} == set(HAND_WRITTEN)


@pytest.mark.parametrize(
    ("method", "words", "says"),
    [
        (
            "ZeroshotCLIP",
            ["all", "0.3"],
            "distractor is '0.3', .* 1 to 30, .*; 0.3 is a strength of typo, case, ocr, emb",
        ),
        ("ZeroshotCLIP", ["template", "3,81"], "The strength of template is '81'"),
        ("ZeroshotCLIP", ["typo,synonym", "0.5"], "synonym takes other names of the classes, .* of digits has none"),
        ("CoOp", ["template", "3"], "and CoOp has none; take paraphrase"),
    ],
)
def test_all_tests_of_a_script_are_checked_before_the_first(tmp_path, method, words, says):
    with pytest.raises(InputError, match=says):
        plan("text_noise_test", method, "digits", 1, {"OUTPUT": str(tmp_path)}, words)


def test_imagenet_has_synonyms(tmp_path):
    for dataset in ("imagenet", "imagenet_sketch"):
        assert (
            len(plan("text_noise_test", "ZeroshotCLIP", dataset, 1, {"OUTPUT": str(tmp_path)}, ["synonym", "all"])) == 2
        )


def test_a_block_of_a_suite(tmp_path):
    file = tmp_path / "own.yaml"

    def suite(text):
        file.write_text(
            f"blocks:\n  - {{protocol: text_noise, methods: [ZeroshotCLIP, CoOp], datasets: digits, {text}}}\n"
        )
        return read_suite(file, str(tmp_path / "out"), seeds=(1, 2))

    runs = suite("kinds: {typo: [0.1, 0.4], paraphrase: all}").runs
    assert [len(run.job) for run in runs] == 2 * ([1] * 12 + [13])  # zero-shot CLIP's text depends on the seed
    assert len(suite("kinds: typo").runs) == 2 * 4
    for text, says in (("kinds: [tpyo]", "kinds: There is no kind"), ("kinds: {typo: much}", "strength of typo")):
        with pytest.raises(InputError, match=says):
            suite(text)


# ---------------------------------------------------------------------- wrong sentences


def test_sentences_of_another_class():
    classes = {f"c{i}": {"main": [f"{i} {j}" for j in range(50)]} for i in range(6)}
    source = Source(Cache("own", {"main": {}}, classes, "", "own.json"), "main")
    assert with_wrong(source, 0.0, 1) is source
    found = with_wrong(source, 0.4, 1)
    wrong = [text.split()[0] != c[1:] for c in classes for text in found.get(c)]
    assert sum(wrong) / len(wrong) == pytest.approx(0.4, abs=0.06) and found.sha256 != source.sha256
    assert found.get("c3") == with_wrong(source, 0.4, 1).get("c3") != with_wrong(source, 0.4, 2).get("c3")
    assert all(len(found.get(c)) == 50 for c in classes)
    more = with_wrong(source, 0.8, 1)  # what is wrong at 0.4 is wrong at 0.8
    for c in classes:
        for less, much in zip(found.get(c), more.get(c), strict=True):
            assert less.split()[0] == c[1:] or much.split()[0] != c[1:]
    with pytest.raises(InputError, match="CLIP's templates are the same for all"):
        with_wrong(Source(TemplateCache("own", ["a {}."], "Own"), "templates"), 0.5, 1)


def test_a_run_on_wrong_sentences(tiny, tmp_path):
    """Tiny's classes have no file of their own: one is given."""
    sentences = {name: [f"A {name} of kind {i}." for i in range(6)] for name in NAMES}
    file = tmp_path / "tiny_prompt.json"
    file.write_text(json.dumps(sentences))
    hashes = []
    for rate in (0.0, 0.5):
        own = {"TRAINER.CoPrompt.CACHE": file, "LANGUAGE.WRONG_RATE": rate, "OPTIM.MAX_EPOCH": 1}
        assert tiny.run(tmp_path / str(rate), "CoPrompt", (), own) == 0
        record = json.loads((tmp_path / str(rate) / "results.json").read_text())
        hashes.append((record["language"]["main"]["sha256"], record["scores"]["nll"], record["settings_hash"]))
    assert all(a != b for a, b in zip(*hashes, strict=True))
