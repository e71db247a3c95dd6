"""Frozen features of a cache: one table a source, the same for every run; `python -m language encode` fills it."""

from __future__ import annotations

import json

import clip
import pytest
import torch

from clipkit import FeatureBank, InputError, TextEncoder, load_clip, normalize
from language import load_novel, load_source
from language.__main__ import main
from language.features import SentenceFeatures, name_similarities


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(load_clip("Embedded"))


@pytest.fixture
def bank(tmp_path, monkeypatch) -> FeatureBank:
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    return FeatureBank()


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """How many texts each call of the text tower had."""
    calls, plain = [], TextEncoder.encode_texts

    def counting(self, texts, *args, **kwargs):
        calls.append(len(texts))
        return plain(self, texts, *args, **kwargs)

    monkeypatch.setattr(TextEncoder, "encode_texts", counting)
    return calls


def test_a_sentence_has_the_same_features_in_every_choice(encoder, bank, encoded):
    source = load_source("digits", "main")
    features = SentenceFeatures(source, encoder, bank, "fp32")
    zero, seven = source.get("zero"), source.get("seven")
    both, one = features([*seven, *zero]), features(zero[:1])
    assert torch.equal(both[len(seven)], one[0]) and both.shape == (8, encoder.embed_dim)
    assert encoded == [40], "all sentences of the source at once"
    again = SentenceFeatures(load_source("Digits", "main"), encoder, bank, "fp32")
    assert torch.equal(again(zero), features(zero)) and encoded == [40]
    torch.testing.assert_close(one, encoder.encode_texts(zero[:1]), atol=1e-5, rtol=0)


def test_other_sources_files_and_precisions_have_tables_of_their_own(encoder, bank, tmp_path):
    source = load_source("digits", "main")
    for precision in ("fp32", "amp"):
        SentenceFeatures(source, encoder, bank, precision).table
    SentenceFeatures(load_source("digits", "noise"), encoder, bank, "fp32").table
    mine = tmp_path / "digits_prompt.json"
    mine.write_text(json.dumps({"zero": ["A ring."]}))
    SentenceFeatures(load_source("digits", str(mine)), encoder, bank, "fp32").table
    assert len(list(bank.root.glob("*.safetensors"))) == 4


def test_the_number_of_threads_is_part_of_the_key(encoder, bank):
    """Sums of floats depend on it in their last bits, and a result must not depend on who filled the bank."""
    source, before = load_source("digits", "main"), torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            SentenceFeatures(source, encoder, bank, "fp32").table
    finally:
        torch.set_num_threads(before)
    assert len(list(bank.root.glob("*.safetensors"))) == 2


def test_templates_and_sentences_from_elsewhere_are_encoded_on_their_own(encoder, bank, encoded):
    features = SentenceFeatures(load_source("digits", "templates"), encoder, bank, "fp32")
    assert features(["a photo of a zero.", "a photo of a one."]).shape == (2, encoder.embed_dim) and encoded == [2]
    written = SentenceFeatures(load_source("digits", "main"), encoder, bank, "fp32")
    assert written(["a photo of a zero."]).shape == (1, encoder.embed_dim) and encoded == [2, 1]


def test_a_sentence_too_long_for_clip_is_refused_or_cut_as_asked(encoder, bank, tmp_path, caplog, capsys):
    long, file = "a circle and " * 60, tmp_path / "digits_prompt.json"
    file.write_text(json.dumps({"zero": [long, "A ring."]}))
    source = load_source("digits", str(file))
    refused = SentenceFeatures(source, encoder, bank, "fp32")
    cut = SentenceFeatures(source, encoder, bank, "fp32", "truncate")
    sentence = "digits_prompt.json has 182 tokens.*at most 77: 'a circle and .*LANGUAGE.TOO_LONG truncate"
    with pytest.raises(InputError, match=sentence):
        refused([long])
    whole = TextEncoder(encoder.clip_model, truncate=False)
    tokens = clip.tokenize([long, "A ring."], truncate=True).long()  # what published code does
    expected = normalize(whole(whole.embed(tokens), tokens.argmax(1)))
    torch.testing.assert_close(cut([long, "A ring."]), expected, atol=1e-5, rtol=0)
    assert "1 of 2 texts (sentence of" in caplog.text and "are truncated; the longest has 182" in caplog.text
    with pytest.raises(InputError, match=sentence):  # features of cut sentences do not serve a run that refuses them
        refused([long])
    caplog.clear()
    other = SentenceFeatures(load_source("digits", "main"), encoder, bank, "fp32", "truncate")
    with pytest.raises(InputError, match="182 tokens"):  # a sentence that no file holds
        SentenceFeatures(load_source("digits", "main"), encoder, bank, "fp32")([long])
    torch.testing.assert_close(other([long]), expected[:1], atol=1e-5, rtol=0)
    assert "1 of 1 texts" in caplog.text
    given = ["encode", "digits", "--cpu", "--backbone", "Embedded", "--file", str(file)]
    assert main(given) == 2 and "has 182 tokens" in capsys.readouterr().err
    assert main([*given, "--truncate"]) == 0


def test_encode_fills_what_runs_read(encoder, bank, encoded, capsys):
    assert main(["encode", "digits", "--cpu"]) == 0
    told = capsys.readouterr().out
    assert "digits: 40 sentences of source main, fp32" in told and "similarities of 205 names (base classes" in told
    before = list(encoded)
    for which in ("main", "noise"):
        source = load_source("Digits", which)
        SentenceFeatures(source, encoder, bank, "fp32")(source.get("zero"))
    names = ["zero", "one", "two", "three", "four"]
    templates = [*select_and_custom("Digits")]
    name_similarities([*names, *load_novel("Digits", base_names=names).names], templates, encoder, bank, "fp32")
    assert encoded == before and main(["encode", "digits", "--cpu"]) == 0 and encoded == before


def select_and_custom(dataset: str) -> list[str]:
    from datasets.templates import template_set

    return template_set("select+custom", dataset, "sar")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folder"], "there is no language file for folder; give its own with --file"),
        (["digits", "letters", "--file", "x.json"], "--file holds the sentences of one dataset"),
        (["digits", "--file", "none.json"], "none.json cannot be read"),
        (["digits", "--backbone", "ViT-Z"], "ViT-Z"),
    ],
)
def test_bad_requests_are_one_sentence(bank, capsys, arguments, message):
    assert main(["encode", *arguments, "--cpu"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and "Traceback" not in error
