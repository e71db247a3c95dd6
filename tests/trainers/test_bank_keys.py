"""What every key of the feature bank has to name: the arithmetic, the weights, and the version of torch."""

from __future__ import annotations

import json

import pytest
import torch

from clipkit import FeatureBank, arithmetic

NOVEL = {"TRAINER.SAR.NOVEL_SOURCE": "file", "TRAINER.SAR.NOVEL_FILE": "language/novel_classes/digits.json"}
SENTENCES = {"LANGUAGE.MISSING": "stand_in"}
TRAINED = {
    "CoOp": {}, "CoCoOp": {}, "TCP": {}, "KgCoOp": {}, "AdvPT": {}, "TipAdapter": {}, "TipAdapterF": {}, "LPpp": {},
    "CoOpSAR": NOVEL, "CoPrompt": SENTENCES, "ANPrompt": SENTENCES, "TAC": SENTENCES, "TextRefiner": {},
    "VisPrompt": {}, "TwoSFS": {}, "CoOpDePT": {},
}  # fmt: skip
TESTED = {"ZeroshotCLIP": {}, "TPT": {}, "RTPT": {}, "TDA": {}, "ZERO": {}, "BoostAdapter": {}}


@pytest.fixture
def keys(monkeypatch, tmp_path):
    """All keys that were asked for, as JSON."""
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    asked, real = set(), FeatureBank.path

    def path(bank, key):
        asked.add(json.dumps(key, sort_keys=True))
        return real(bank, key)

    monkeypatch.setattr(FeatureBank, "path", path)
    return asked


@pytest.mark.parametrize("method", TRAINED | TESTED)
def test_keys_name_the_arithmetic(tiny, tmp_path, keys, method):
    pairs = (TRAINED | TESTED)[method] | {"OPTIM.MAX_EPOCH": 1}
    flags = ("--eval-only",) if method in TESTED else ()
    assert tiny.run(tmp_path / "run", method, flags, pairs) == 0
    assert keys
    for key in map(json.loads, keys):
        assert key.get("device") == arithmetic(torch.device("cpu")), key
        assert "images" not in key or "torchvision" in key["torch"] + str(key.get("transform")), key
        assert key.get("torch").startswith(torch.__version__) and key.get("backbone") and key.get("precision"), key
