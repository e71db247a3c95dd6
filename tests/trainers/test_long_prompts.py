"""No text is cut in silence: a name or sentence of more tokens than CLIP reads is refused wherever it comes in."""

from __future__ import annotations

import json
import re

import pytest
import torch
from helpers import METHODS, NAMES, make_tiny

import predict
from attacks import Surrogate
from bench.studies import semantics
from clipkit import ContextPrompts, InputError, load_clip
from clipkit.__main__ import run as clipkit_run
from datasets.noise.features import class_similarity
from runs.config_names import UNTRAINED

LONG = "striped circle" + " of very many words" * 16  # 66 tokens: too long within the templates of most methods
LONGER = "striped circle" + " of very many words" * 20
SAID = r"has \d+ tokens with start and end, but CLIP reads at most 77: .*{}"
C = "TRAINER.COOP."


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory):
    """The tiny dataset, the first class with a name that leaves no room for a prompt."""
    root = tmp_path_factory.mktemp("long")
    file = make_tiny(root) / "split_zhou_Tiny.json"
    file.write_text(file.read_text().replace(NAMES[0], LONGER))
    return root


@pytest.mark.parametrize("method", [*METHODS, *UNTRAINED, "DPSEP", "PTNL", "CoOpSAR"])
def test_a_long_class_name_is_refused_by_every_method(tiny, root, tmp_path, capsys, method):
    flags, pairs = ("--eval-only",) if method in UNTRAINED else (), {}
    if method == "TAPT":  # tunes the prompts of a run
        start = {"OPTIM.MAX_EPOCH": 1, "TRAINER.IVLP.PROMPT_DEPTH_VISION": 2, "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 2}
        assert tiny.run(tmp_path / "start", "AdvIVLP", (), start) == 0
        pairs = {"TRAINER.TAPT.FROM": tmp_path / "start", "TRAINER.TAPT.ALIGN": 0.0}
        capsys.readouterr()
    assert tiny.run(tmp_path / "run", method, flags, {"DATASET.ROOT": root} | pairs) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(SAID.format(LONGER), sentence) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "pairs"),
    [
        ("CoOp", {C + "N_CTX": 74}),
        ("CoOp", {C + "N_CTX": 74, C + "CSC": True}),
        ("CoOp", {C + "N_CTX": 74, C + "CLASS_TOKEN_POSITION": "middle"}),
        ("CoOp", {C + "N_CTX": 74, C + "CLASS_TOKEN_POSITION": "front"}),
        ("CoOp", {C + "CTX_INIT": "a " * 74}),
        ("CoCoOp", {"TRAINER.COCOOP.N_CTX": 74}),
        ("DPSEP", {"TRAINER.DPSEP.N_CTX_NEG": 74}),
        ("JoAPR", {"TRAINER.JOAPR.N_CTX": 74}),
        ("RTPT", {"TRAINER.TTA.CTX_INIT": "a " * 74}),
        ("VisPrompt", {"TRAINER.VISPROMPT.N_CTX": 74}),
    ],
)
def test_a_long_context_is_refused(tiny, tmp_path, method, pairs):
    pairs = {key: value.strip() if isinstance(value, str) else value for key, value in pairs.items()}
    with pytest.raises(InputError, match=SAID.format(f"'{NAMES[0]}', or take fewer than 74 context tokens")):
        tiny.trainer(tmp_path, method, pairs)


@pytest.mark.parametrize("templates", ["custom", "select", "select+custom", "full80"])
def test_one_template_of_an_ensemble_is_enough(tiny, root, tmp_path, templates):
    trainer = tiny.trainer(tmp_path, "ZeroshotCLIP", {"TRAINER.ZSCLIP.TEMPLATES": templates})
    trainer.classnames[1] = LONG + " in" * 4  # which fits into the shorter templates
    fits = templates == "custom"
    if fits:
        assert trainer.encode_text().isfinite().all()
        return
    with pytest.raises(InputError, match=SAID.format(LONG)):
        trainer.encode_text()


def test_a_novel_name_of_sar(tiny, tmp_path):
    file = tmp_path / "novel.txt"
    file.write_text("\n".join(["green moon", LONGER, "blue sun"]))
    pairs = {"SOURCE": "file", "FILE": file}
    trainer = tiny.trainer(
        tmp_path, "CoOpSAR",
        {f"TRAINER.SAR.NOVEL_{key}": value for key, value in pairs.items()} | {"TRAINER.SAR.NUM_NOVEL": 3},
    )  # fmt: skip
    with pytest.raises(InputError, match=SAID.format(LONGER)):
        trainer.before_train()


@pytest.mark.parametrize("method", ["ANPrompt", "CoPrompt"])
def test_a_description(tiny, tmp_path, method, capsys, caplog):
    """Refused, or cut as published code cuts it, with their count."""
    file = tmp_path / "mine.json"
    sentences = {name: [f"{name} is {LONGER}.", f"{name} is short."] for name in NAMES}
    file.write_text(json.dumps(sentences))
    keys = ("ANPROMPT.CACHE_MAIN", "ANPROMPT.CACHE_NOISE") if method == "ANPrompt" else ("CoPrompt.CACHE",)
    pairs = {f"TRAINER.{key}": file for key in keys} | {"OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "refused", method, (), pairs) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(SAID.format(f"'{NAMES[0]} is {LONGER}.*LANGUAGE.TOO_LONG truncate"), sentence)
    assert not (tmp_path / "refused").exists()
    cut = pairs | {"LANGUAGE.TOO_LONG": "truncate"}
    assert tiny.run(tmp_path / "cut", method, (), cut) == 0
    assert "5 of 10 texts (sentence of" in (tmp_path / "cut" / "log.txt").read_text()
    assert tiny.run(tmp_path / "other", method, (), pairs | {"LANGUAGE.TOO_LONG": "shorten"}) == 2
    assert "LANGUAGE.TOO_LONG is 'shorten', but must be one of refuse, truncate" in capsys.readouterr().err


def test_names_given_to_a_trained_run(tiny, tmp_path, capsys):
    """predict.py --classes, bench.semantics --new-classes, clipkit export --classes."""
    run, names = tmp_path / "run", tmp_path / "names.txt"
    assert tiny.run(run, "CoOp", (), {"OPTIM.MAX_EPOCH": 1}) == 0
    names.write_text(f"green moon\n{LONGER}\n")
    picture = str(tiny.root / "tiny" / "images" / "0_test_0.png")
    checkpoint = str(run / "prompt_learner" / "model.pth.tar-1")
    capsys.readouterr()
    for command in (
        lambda: predict.run(["--model-dir", str(run), "--classes", str(names), picture]),
        lambda: semantics.main([str(run), "--new-classes", str(names)]),
        lambda: clipkit_run(
            ["export", checkpoint, "--full", "--classes", str(names), "--backbone", str(tiny.backbone)]
            + ["--output", str(tmp_path / "exported.pth.tar-1")]
        ),
    ):
        assert command() == 2
        assert re.search(SAID.format(LONGER), capsys.readouterr().err)
    assert not (tmp_path / "exported.pth.tar-1").exists()


def test_names_outside_of_runs(tiny):
    model = load_clip("", str(tiny.backbone))
    with pytest.raises(InputError, match=SAID.format(LONGER) + ".*ATTACK.PROMPT"):
        Surrogate(model, ["short", LONGER])
    with pytest.raises(InputError, match=SAID.format(LONGER) + ".*--prompt"):
        Surrogate(model, ["short"], f"a photo of a {LONGER} {{}}.")
    for position in ("end", "middle", "front"):
        with pytest.raises(InputError, match=SAID.format(LONGER)):
            ContextPrompts(model, ["short", LONGER], 4, position=position)
    with pytest.raises(InputError, match=SAID.format(LONGER)):
        ContextPrompts(model, ["short"], 4).for_names([LONGER])


def test_names_that_noise_is_made_by(monkeypatch, tiny):
    model = load_clip("", str(tiny.backbone))
    monkeypatch.setattr("clipkit.load_clip", lambda name: model)
    assert class_similarity(["short", "other"]).shape == (2, 2)
    with pytest.raises(InputError, match=SAID.format(LONGER)):
        class_similarity(["short", LONGER])


def test_the_longest_prompt_that_fits_is_read_to_its_end(tiny, tmp_path):
    """77 tokens with start and end are whole: the last word matters."""
    trainer = tiny.trainer(tmp_path, "CoOp", {C + "N_CTX": 16})
    room = 77 - 2 - 16 - 1
    a, b = (ContextPrompts(trainer.clip, [" ".join(["sun"] * (room - 1) + [word])], 16) for word in ("sun", "moon"))
    assert a.length == b.length == 77
    ctx = trainer.model.ctx.detach()
    features = [trainer.text_encoder.encode(prompts.split(ctx)) for prompts in (a, b)]
    assert not torch.allclose(*features, atol=1e-3)
    with pytest.raises(InputError, match="has 78 tokens"):
        ContextPrompts(trainer.clip, [" ".join(["sun"] * (room + 1))], 16)
