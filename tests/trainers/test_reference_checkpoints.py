"""Checkpoints in the reference form load here, for other classes than they were trained on; ours go there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from clip.model import convert_weights
from reference_files import LEARNED, frozen, learned, save_reference

from clipkit import InputError, load_clip
from clipkit.__main__ import run as clipkit
from clipkit.checkpoint_file import read_checkpoint

# Of the published settings those that are no default here; tests/helpers.py cuts depths to the tiny CLIP's blocks.
FOUR = {"N_CTX": 4, "CTX_INIT": "a photo of a"}
SETTINGS: dict[str, dict] = dict.fromkeys(LEARNED, {}) | {
    "CoCoOp": {f"TRAINER.COCOOP.{key}": value for key, value in FOUR.items()},
    "KgCoOp": {f"TRAINER.COOP.{key}": value for key, value in FOUR.items()},
    "TCP": {"TRAINER.COOP.N_CTX": 4},
    "MMRL": {"TRAINER.MMRL.N_REP_TOKENS": 5},
}


@pytest.fixture(scope="module")
def half(tiny):
    model = load_clip("", str(tiny.backbone))
    convert_weights(model)
    return model


def logits(trainer) -> torch.Tensor:
    trainer.set_model_mode("eval")
    with torch.no_grad():
        image, _ = trainer.parse_batch_test(next(iter(trainer.test_loader)))
        return trainer.model_inference(image)


@pytest.mark.parametrize("method", LEARNED)
def test_the_learner_has_the_reference_s_keys_and_shapes(method, tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, method, SETTINGS[method])
    assert trainer.registered_name == LEARNED[method][0]
    shapes = {key: tuple(value.shape) for key, value in trainer.model.state_dict().items()}
    assert shapes == LEARNED[method][1]


@pytest.mark.parametrize("method", LEARNED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_reference_file_loads_and_decides_the_logits(method, dtype, tiny, half, tmp_path):
    """The values arrive; buffers of the file's own five classes do not; the frozen CLIP is this run's."""
    save_reference(tmp_path / "model", method, half, dtype=dtype)
    trainer = tiny.trainer(tmp_path / "run", method, SETTINGS[method] | {"DATASET.SUBSAMPLE_CLASSES": "new"})
    before = logits(trainer)
    weights = {key: value.clone() for key, value in trainer.clip.state_dict().items()}
    trainer.load_model(str(tmp_path / "model"), epoch=5)
    for key, value in learned(method, dtype=dtype).items():
        assert torch.equal(trainer.model.state_dict()[key].cpu(), value.float()), key
    for key, value in trainer.clip.state_dict().items():
        assert torch.equal(value, weights[key]), key
    after = logits(trainer)
    assert after.shape == before.shape == (5, 2) and not torch.allclose(before, after, atol=1e-4)

    # the learnable tensors alone give the same, so nothing else in the file matters
    other = tiny.trainer(tmp_path / "other", method, SETTINGS[method] | {"DATASET.SUBSAMPLE_CLASSES": "new"})
    other.model.load_state_dict({key: value.float() for key, value in learned(method, dtype=dtype).items()})
    assert torch.equal(logits(other), after)


@pytest.mark.parametrize("method", LEARNED)
def test_our_checkpoint_goes_to_the_reference_form_and_back(method, tiny, half, tmp_path):
    trainer = tiny.trainer(tmp_path / "run", method, SETTINGS[method])
    trainer.load_model(str(Path(save_reference(tmp_path / "given", method, half)).parents[1]), epoch=5)
    trainer.save_model(4, str(tmp_path / "ours"))
    expected = logits(trainer)
    name = trainer.registered_name
    ours, full, slim = (tmp_path / part / name / "model.pth.tar-5" for part in ("ours", "full", "slim"))
    names = tmp_path / "names.txt"
    names.write_text("lighthouse\ngrey heron\ntall ship\nfield\n")
    options = ["--full", "--backbone", str(tiny.backbone), "--classes", str(names), "--output", str(full)]
    assert clipkit(["export", str(ours), *options]) == 0
    assert clipkit(["export", str(full), "--learnable", "--output", str(slim)]) == 0
    state = read_checkpoint(full)["state_dict"]
    clip_keys = {key for key in frozen(method, half) if key.startswith(("image_encoder.", "text_encoder."))}
    assert clip_keys <= set(state) and all(torch.isfinite(value).all() for value in state.values())
    for folder in ("full", "slim"):
        again = tiny.trainer(tmp_path / f"run_{folder}", method, SETTINGS[method])
        again.load_model(str(tmp_path / folder), epoch=5)
        assert torch.equal(logits(again), expected)
    assert slim.stat().st_size < full.stat().st_size


def test_a_file_of_another_method_is_refused(tiny, half, tmp_path):
    save_reference(tmp_path / "model", "IVLP", half)
    trainer = tiny.trainer(tmp_path / "run", "PromptSRC", SETTINGS["PromptSRC"])
    with pytest.raises(InputError, match="shape"):
        trainer.load_model(str(tmp_path / "model"), epoch=5)
    save_reference(tmp_path / "other", "CoOp", half)
    trainer = tiny.trainer(tmp_path / "second", "CoCoOp", SETTINGS["CoCoOp"])
    with pytest.raises(InputError, match="lacks"):
        trainer.load_model(str(tmp_path / "other"), epoch=5)
