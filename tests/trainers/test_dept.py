"""DePT: which tests use the head, its rates, and files of whole models."""

from __future__ import annotations

import json

import pytest
import torch
from test_paper_losses import moved

from trainers.parts.class_head import rows_of

P = "TRAINER.LINEAR_PROBE."
RATES = {"OPTIM.STAGED_LR": True, "OPTIM.NEW_LAYERS": ["film_lp_img", "film_lp_text", "linear_probe_proj"]}
RATES |= {"OPTIM.LR": 0.065, "OPTIM.BASE_LR_MULT": 1 / 6.5}


@pytest.mark.parametrize("method", ["CoOpDePT", "MaPLeDePT", "PromptSRCDePT"])
def test_new_modules_learn_6_5_times_as_fast(tiny, tmp_path, method):
    trainer = tiny.trainer(tmp_path, method, RATES | {"OPTIM.WARMUP_EPOCH": -1})
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    slow, fast = trainer.optim.param_groups
    assert slow["lr"] == pytest.approx(0.01) and fast["lr"] == 0.065
    heads = ("film_lp_img.", "film_lp_text.", "linear_probe_proj.")
    assert all(names[id(p)].startswith(heads) for p in fast["params"]) and len(fast["params"]) == 6
    assert len(slow["params"]) + 6 == len(names)
    assert all(names[id(p)].startswith(("prompt_learner.", "image_encoder.", "text_encoder.")) for p in slow["params"])


def test_known_classes_are_tested_with_the_head_and_new_ones_without(tiny, tmp_path):
    pairs = {"OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "run", "CoOpDePT", (), pairs) == 0
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 1)
    for part in ("base", "new", "all"):
        assert tiny.run(tmp_path / part, "CoOpDePT", flags, {"DATASET.SUBSAMPLE_CLASSES": part}) == 0
    found = {part: json.loads((tmp_path / part / "results.json").read_text()) for part in ("base", "new", "all")}
    assert set(found["base"]["other_accuracies"]) == {"host", "fused"}
    assert all("other_accuracies" not in found[part] for part in ("new", "all"))
    assert found["base"]["results"] == json.loads((tmp_path / "run" / "results.json").read_text())["results"]


def test_a_subset_of_the_classes_takes_its_rows(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path / "1", "CoOpDePT", {"DATASET.SUBSAMPLE_CLASSES": "all"})
    moved(trainer)
    state = trainer.model.state_dict()
    part = tiny.trainer(tmp_path / "2", "CoOpDePT")
    fitted = part.model.fit_classes(dict(state), trainer.classnames, part.classnames)
    assert torch.equal(fitted["linear_probe_proj.weight"], state["linear_probe_proj.weight"][:3]) and part.model.known
    part.model.fit_classes(dict(state), ["nothing", *trainer.classnames[1:]], part.classnames)
    assert not part.model.known


def test_rows_by_name_in_order():
    assert rows_of(["a", "b_b", "c", "a", "d"], ["b b", "a", "d"]) == [1, 3, 4]
    assert rows_of(["a", "b"], ["b", "a"]) is None and rows_of(["a"], []) == []


def test_a_published_file_names_no_classes(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "MaPLeDePT")
    state = trainer.model.state_dict()
    assert (
        trainer.model.fit_classes(dict(state), None, trainer.classnames).keys() == state.keys() and trainer.model.known
    )
    without = {key: x for key, x in state.items() if not key.startswith("linear_probe")}
    new = tiny.trainer(tmp_path / "new", "MaPLeDePT", {"DATASET.SUBSAMPLE_CLASSES": "new"})
    assert set(new.model.fit_classes(without, None, new.classnames)) >= set(without) and not new.fuses()


def test_the_bank_keeps_features_before_normalisation(tiny, tmp_path):
    """The head reads them; other methods' features are stored apart."""
    tiny.trainer(tmp_path / "0", "CoOp").test()
    trainer = tiny.trainer(tmp_path / "1", "CoOpDePT")
    moved(trainer)
    trainer.set_model_mode("eval")
    batch = next(iter(trainer.test_batches("test")))
    image = next(iter(trainer.test_loader))["img"]
    torch.testing.assert_close(batch["img"], trainer.clip.encode_image(image), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        a, b = (trainer.test_logits(x)["fused"] for x in (batch["img"], image))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_without_weight_or_fusion_it_is_the_host(tiny, tmp_path):
    image = torch.randn(2, 3, 16, 16)
    for i, pairs in enumerate(({P + "WEIGHT": 0.0}, {P + "TEST_TIME_FUSION": False})):
        trainer = tiny.trainer(tmp_path / str(i), "CoOpDePT", pairs)
        trainer.set_model_mode("eval")
        with torch.no_grad():
            found = trainer.test_logits(image)
            torch.testing.assert_close(found[trainer.answer_name], found["host"])
