"""SAR on its hosts: what it adds, and what it leaves as it was."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import FITTING

import train
from clipkit import TextEncoder
from trainers.parts.sar_names import novel_names, sar_seed, target_gram
from trainers.sar import with_sar

HOSTS = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt", "PromptSRC", "ANPrompt")
S = "TRAINER.SAR."


@pytest.fixture(scope="module")
def novel(tmp_path_factory):
    file = tmp_path_factory.mktemp("novel") / "names.txt"
    words = ("wavy", "plain", "marbled")
    file.write_text("\n".join(f"{w} {n}" for w in words for n in ("square", "tower", "moon")))
    return {S + "NOVEL_SOURCE": "file", S + "NOVEL_FILE": file, S + "NUM_NOVEL": 9, S + "SAMPLE_SIZE": 5}


def settings(host: str, novel: dict, **more) -> dict:
    return FITTING.get(host, {}) | novel | {S + k: v for k, v in more.items()}


def batch(trainer):
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(2, 4, 3, 16, 16, generator=generator)
    trainer.epoch = trainer.batch_idx = 0
    trainer.set_model_mode("train")
    return (list(image) if "CoPrompt" in trainer.cfg.TRAINER.NAME else image[0]), torch.arange(4) % 3


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def weights(folder) -> dict:
    (file,) = folder.glob("*/model.pth.tar-3")
    return torch.load(file, weights_only=True)["state_dict"]


@pytest.mark.parametrize("host", HOSTS)
def test_host_terms_and_one_more_from_one_text_batch(tiny, tmp_path, monkeypatch, novel, host):
    plain = tiny.trainer(tmp_path, host, FITTING.get(host))
    trainer = tiny.trainer(tmp_path, f"{host}SAR", settings(host, novel, LAMBDA=0.3))
    assert torch.equal(*(next(iter(t.model.state_dict().values())) for t in (plain, trainer)))
    if host == "ANPrompt":
        plain.make_noise_ctx()
        trainer.make_noise_ctx()
    trainer.build_alignment()
    calls, real = [], TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda *a, **k: calls.append(a) or real(*a, **k))
    logits, terms = trainer.loss(*batch(trainer))
    assert len(calls) == 1 and len(trainer.all_features) == 12
    expected_logits, expected = plain.loss(*batch(plain))
    torch.testing.assert_close(logits, expected_logits, atol=1e-4, rtol=1e-4)
    assert set(terms) == {*expected, "sar"}
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, atol=1e-5, rtol=1e-4)
    direct = trainer.alignment(trainer.encode_names(trainer.all_names), 0, 0)
    torch.testing.assert_close(terms["sar"], 0.3 * direct)
    assert terms["sar"] > 0
    sum(terms.values()).backward()
    assert all(p.grad is None for p in trainer.clip.parameters()) and not trainer.alignment.gram.requires_grad
    text_side = [p for n, p in trainer.model.named_parameters() if n.endswith("ctx")]
    assert text_side and all(p.grad.abs().max() > 0 for p in text_side)


@pytest.mark.parametrize("host", HOSTS)
def test_novel_names_in_chunks_give_the_same_gradient(tiny, tmp_path, novel, host):
    found = []
    for chunk in (0, 3):
        trainer = tiny.trainer(tmp_path, f"{host}SAR", settings(host, novel, LAMBDA=0.3, CHUNK=chunk))
        if host == "ANPrompt":
            trainer.make_noise_ctx()
        trainer.build_alignment()
        trainer.set_model_mode("train")
        _, terms = trainer.loss(*batch(trainer))
        loss = trainer.backward(terms)
        found.append((loss, terms["sar"], [p.grad for p in trainer.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    assert found[0][1] > 0


@pytest.mark.parametrize("host", HOSTS)
def test_a_run_and_its_test_on_new_classes(tiny, tmp_path, novel, host):
    name, pairs = f"{host}SAR", settings(host, novel)
    assert tiny.run(tmp_path / "run", name, pairs=pairs) == 0
    record = results(tmp_path / "run")
    assert record["novel_names"]["count"] == 9 and record["novel_names"]["overlap_with_new_classes"] == 0
    assert record["learnable_numbers"] == sum(
        p.numel() for p in tiny.trainer(tmp_path, host, FITTING.get(host)).model.parameters()
    )
    assert "loss_sar" in (tmp_path / "run" / "log.txt").read_text()
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 3)
    assert tiny.run(tmp_path / "new", name, flags, pairs | {"DATASET.SUBSAMPLE_CLASSES": "new"}) == 0
    assert "novel_names" not in results(tmp_path / "new")


@pytest.mark.parametrize("host", HOSTS)
def test_with_lambda_0_the_hosts_numbers_are_unchanged(tiny, tmp_path, novel, host):
    assert tiny.run(tmp_path / "host", host, pairs=FITTING.get(host)) == 0
    assert tiny.run(tmp_path / "sar", f"{host}SAR", pairs=settings(host, novel, LAMBDA=0.0)) == 0
    for name, tensor in weights(tmp_path / "sar").items():
        assert torch.equal(tensor, weights(tmp_path / "host")[name]), name
    assert results(tmp_path / "sar")["results"] == results(tmp_path / "host")["results"]


def test_both_spellings_are_one_run(tiny, tmp_path, novel, capsys):
    assert tiny.run(tmp_path / "run", "CoOpSAR", pairs=novel) == 0
    capsys.readouterr()
    assert tiny.run(tmp_path / "run", "CoOp", pairs=novel | {S + "ENABLED": True}) == 0
    assert "Finished already" in capsys.readouterr().out
    assert results(tmp_path / "run")["trainer"] == "CoOpSAR"


def test_any_host_that_encodes_names(tiny, tmp_path, novel):
    """ProGrad and IVLP are not registered with SAR: the switch makes the method."""
    for host in ("IVLP", "ProGrad"):
        assert tiny.run(tmp_path / host, host, pairs=settings(host, novel, ENABLED=True)) == 0
        assert results(tmp_path / host)["trainer"] == f"{host}SAR"


@pytest.mark.parametrize(
    ("host", "pairs", "says"),
    [
        ("CoCoOp", {S + "ENABLED": True}, "CoCoOp does not give"),
        ("ZeroshotCLIP", {S + "ENABLED": True}, "ZeroshotCLIP does not give"),
        ("CoOpSAR", {"TRAINER.COOP.CSC": True}, "CSC"),
        ("CoOpSAR", {S + "NOVEL_SOURCE": "books"}, "NOVEL_SOURCE is 'books'"),
        ("CoOpSAR", {S + "SAMPLE_SIZE": 0}, "SAMPLE_SIZE"),
        ("CoOpSAR", {}, "no list of novel names for Tiny"),
        ("CoOpSAR", {S + "NOVEL_SOURCE": "file"}, "NOVEL_FILE"),
    ],
)
def test_bad_input_is_one_sentence(tiny, tmp_path, capsys, host, pairs, says):
    assert tiny.run(tmp_path / "run", host, pairs=pairs) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and says in error[0], error
    assert not (tmp_path / "run").exists()


def test_oracle_takes_the_real_new_classes(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "CoOpSAR", {S + "NOVEL_SOURCE": "oracle"})
    names, found = novel_names(trainer, sar_seed(trainer.cfg))
    assert found["novel_names"]["count"] == 2 and sorted(names) == sorted(["plain tree", "speckled fish"])
    trainer.build_alignment()
    assert trainer.alignment.sample_size == 4 and trainer.record["novel_names"]["overlap_with_new_classes"] == 2


def test_targets_are_an_ensemble_and_come_from_disk(tiny, tmp_path, monkeypatch, novel):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    names = ["striped circle", "marbled moon"]
    from datasets.templates import SELECTED

    own = "a photo of a {}."
    for pairs, templates in (({}, [*SELECTED, own]), ({"ENSEMBLE": False}, [own]), ({"TEMPLATES": "select"}, SELECTED)):
        trainer = tiny.trainer(tmp_path, "CoOpSAR", novel | {S + key: value for key, value in pairs.items()})
        e = sum(trainer.text_encoder.encode_texts([t.format(n) for n in names]) for t in templates) / len(templates)
        expected = torch.nn.functional.cosine_similarity(e[0], e[1], dim=0)
        gram = target_gram(trainer, names)
        torch.testing.assert_close(gram[0, 1], expected, atol=1e-5, rtol=1e-5)
        with monkeypatch.context() as patch:
            patch.setattr(TextEncoder, "encode_texts", None)  # not to be called again
            assert torch.equal(target_gram(trainer, names), gram)


def test_coprompt_before_its_adapter(tiny, tmp_path, novel):
    trainer = tiny.trainer(tmp_path, "CoPromptSAR", settings("CoPrompt", novel, PRE_ADAPTER=True, LAMBDA=1.0))
    trainer.build_alignment()
    _, terms = trainer.loss(*batch(trainer))
    before = torch.nn.functional.normalize(trainer.prompted_text(trainer.all_names), dim=-1)
    torch.testing.assert_close(terms["sar"], trainer.alignment(before, 0, 0))
    assert not torch.allclose(terms["sar"], trainer.alignment(trainer.encode_names(trainer.all_names), 0, 0))


@pytest.mark.parametrize(
    ("name", "dataset", "shots", "weight"),
    [
        ("CoOpSAR", "DescribableTextures", 16, 0.5),
        ("CoOpSAR", "Food101", 16, 0.1),
        ("CoOpSAR", "Food101", 4, 1.0),
        ("MaPLeSAR", "EuroSAT", 16, 0.75),
        ("CoPromptSAR", "FGVCAircraft", 16, 0.8),
        ("CoPromptSAR", "EuroSAT", 4, 0.75),
        ("TCPSAR", "EuroSAT", 16, 0.1),
        ("KgCoOpSAR", "UCF101", 16, 0.1),
        ("KgCoOpSAR", "UCF101", 4, 0.1),
    ],
)
def test_published_lambdas(name, dataset, shots, weight):
    args = ["--trainer", name, "DATASET.NAME", dataset, "DATASET.NUM_SHOTS", str(shots)]
    cfg = train.setup_cfg(train.build_parser().parse_args(args))
    assert weight == cfg.TRAINER.SAR.LAMBDA and cfg.TRAINER.SAR.ENABLED
    if name == "CoPromptSAR":  # the host's own table holds too
        depth = 9 if dataset == "FGVCAircraft" else 12
        assert depth == cfg.TRAINER.CoPrompt.PROMPT_DEPTH
    own = train.setup_cfg(train.build_parser().parse_args([*args, S + "LAMBDA", "0.7"]))
    assert own.TRAINER.SAR.LAMBDA == 0.7


def test_a_method_is_made_once():
    from trainers.coop import CoOp
    from trainers.sar import CoOpSAR

    assert with_sar(CoOp) is CoOpSAR
