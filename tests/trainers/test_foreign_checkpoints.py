"""Checkpoints as the world has them, at every place that takes one: published layouts with whatever lies beside the
tensors load, and what is no checkpoint is refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from foreign_files import ADVICE_OF_TORCH, CONTENT, NO_STATE, beside_the_tensors, payloads
from reference_files import LEARNED, frozen, learned
from torch import nn

from clipkit import InputError as BackboneInputError
from clipkit import load_clip
from clipkit.checkpoint_file import read_checkpoint
from clipkit.describe import describe
from clipkit.export import learnable_checkpoint
from clipkit.tokenizer import OPENAI_TOKENIZER
from dassl.utils import InputError, load_checkpoint, load_pretrained_weights, resume_from_checkpoint
from trainers.shared.architecture import saved_architecture
from trainers.shared.checkpoints import load_learner
from trainers.tta.start_context import context_from

NAME, EPOCH = "prompt_learner", 5
CLASSES = {0: "a", 1: "b"}
RUN = {"TRAINER.NAME": "CoOp", "MODEL.BACKBONE": "x", "backbone": "0"}


class Learner(nn.Module):
    """A module whose state dict has these names and shapes, all learnable."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        for key, shape in shapes.items():
            *path, leaf = key.split(".")
            module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module._modules[part]
            module.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))


def save(content: object, folder: Path, **options: object) -> Path:
    file = folder / NAME / f"model.pth.tar-{EPOCH}"
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, file, **options)
    (file.parent / "checkpoint").write_text(f"{file.name}\n")
    return file


def coop() -> Learner:
    return Learner({"ctx": (4, 64)})


ENCODER = SimpleNamespace(width=64, tokenizer=OPENAI_TOKENIZER)
# Each takes the folder of a run with one checkpoint, and that file.
READERS = {
    "--model-dir": lambda folder, file: load_learner(coop(), str(folder), NAME, EPOCH, RUN, CLASSES),
    "--resume": lambda folder, file: resume_from_checkpoint(str(file.parent), coop()),
    "MODEL.INIT_WEIGHTS": lambda folder, file: load_pretrained_weights(coop(), str(file)),
    "TRAINER.TTA.CTX_FROM": lambda folder, file: context_from(str(folder), ENCODER, "0")[0],
    "clipkit info": lambda folder, file: describe(file),
    "clipkit export": lambda folder, file: learnable_checkpoint(file),
}


def refused(reader: str, file: Path, words: str) -> None:
    with pytest.raises((InputError, BackboneInputError)) as caught:
        READERS[reader](file.parents[1], file)
    text = str(caught.value)
    assert words in text and str(file) in text and "\n" not in text, text
    assert not any(word in text for word in ADVICE_OF_TORCH)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_checkpoint_is_refused_everywhere(reader, tmp_path):
    for content, words in NO_STATE.values():
        if reader == "--resume" and isinstance(content, dict):
            content = {"epoch": EPOCH, **content}
            words = "epoch" if "state_dict" not in content else words
        refused(reader, save(content, tmp_path), words)
    for content, words in CONTENT.values():
        file = save({}, tmp_path)
        file.write_bytes(content)
        refused(reader, file, words)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("form", ["bare", "module", "half", "extra", "old format"])
def test_every_honest_form_is_read_everywhere(reader, form, tmp_path):
    """Also a bare state dict, which torch.save(model.state_dict()) leaves; a run cannot be resumed from that."""
    ctx = torch.randn(4, 64)
    state = {"ctx": ctx.half() if form == "half" else ctx, "token_prefix": torch.ones(3, 1, 64)}
    if form == "module":
        state = {f"module.{key}": value for key, value in state.items()}
    if reader == "--resume":
        del state["module.token_prefix" if form == "module" else "token_prefix"]
    whole = {"state_dict": state, "epoch": EPOCH, **(beside_the_tensors() if form == "extra" else {})}
    file = save(
        state if form == "bare" else whole, tmp_path, _use_new_zipfile_serialization=form != "old format"
    )  # fmt: skip
    if (reader, form) == ("--resume", "bare"):
        refused(reader, file, "its epoch is None")
        return
    found = READERS[reader](tmp_path, file)
    if reader == "TRAINER.TTA.CTX_FROM":
        assert torch.equal(found, state["module.ctx" if form == "module" else "ctx"].float())
    if reader == "clipkit export":
        assert list(found["state_dict"]) == ["ctx"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.full((4, 64), float("nan")), "not finite"),
        (torch.ones(4, 64, dtype=torch.long), "int64"),
        (torch.ones(4, 32), "32"),
    ],
)
def test_contexts_that_are_no_numbers(value, words, tmp_path):
    file = save({"state_dict": {"ctx": value}, "epoch": EPOCH}, tmp_path)
    for reader in ("--model-dir", "--resume", "TRAINER.TTA.CTX_FROM"):
        refused(reader, file, words)
    if words != "32":  # what does not fit is left out there, and listed
        refused("MODEL.INIT_WEIGHTS", file, words)


@pytest.mark.parametrize("entry", [None, [1], "x", 3, torch.ones(2)])
def test_a_record_of_another_form_is_no_record(entry, tmp_path):
    file = save({"state_dict": {"ctx": torch.ones(4, 64)}, "epoch": entry, "run": entry, "classnames": entry}, tmp_path)
    for reader in READERS:
        if reader != "--resume":
            READERS[reader](tmp_path, file)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"epoch": None}, "its epoch is None"),
        ({"epoch": "4"}, "its epoch is '4'"),
        ({"epoch": -1}, "its epoch is -1"),
        ({"epoch": 2.5}, "its epoch is 2.5"),
        ({"epoch": True}, "its epoch is True"),
        ({"extra": [1]}, "its extra is of type list"),
        ({"extra": []}, "its extra is of type list"),
        ({"run": "x"}, "its run is of type str"),
        ({"data": [1]}, "its data is of type list"),
        ({"best_result": "x"}, "its best_result is of type str"),
        ({"rolling_file": 3}, "its rolling_file is of type int"),
    ],
)
def test_what_a_run_cannot_go_on_from(entries, words, tmp_path):
    refused("--resume", save({"state_dict": {"ctx": torch.ones(4, 64)}, "epoch": EPOCH, **entries}, tmp_path), words)


@pytest.mark.parametrize("state", ["x", 3, [1], {"state": {}}, {"state": {0: 1}, "param_groups": [1]}])
def test_an_optimizer_s_state_of_another_form(state, tmp_path):
    model = coop()
    file = save({"state_dict": {"ctx": torch.ones(4, 64)}, "epoch": EPOCH, "optimizer": state}, tmp_path)
    with pytest.raises(InputError, match="optimizer state in .* does not fit"):
        resume_from_checkpoint(str(file.parent), model, torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_folder_in_the_place_of_a_file_and_the_other_way_round(tmp_path):
    (tmp_path / "run" / NAME / f"model.pth.tar-{EPOCH}").mkdir(parents=True)
    (tmp_path / "run" / NAME / "checkpoint").write_text(f"model.pth.tar-{EPOCH}\n")
    (tmp_path / "file").touch()
    for reader in READERS:
        for folder in (tmp_path / "run", tmp_path / "file"):
            with pytest.raises((InputError, BackboneInputError)) as caught:
                READERS[reader](folder, folder / NAME / f"model.pth.tar-{EPOCH}")
            assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------- the layouts of docs/checkpoints.md


@pytest.fixture(scope="module")
def half(tiny):
    return load_clip("", str(tiny.backbone), "fp16")


@pytest.mark.parametrize("method", LEARNED)
def test_every_published_layout_with_foreign_objects_and_prefixes(method, half, tmp_path):
    """Read without running anything: by a learner, by `clipkit`, and by what takes settings from its tensors."""
    target = tmp_path / "exploded"
    state = {f"module.{key}": value for key, value in (learned(method) | frozen(method, half)).items()}
    beside = beside_the_tensors() | payloads(target)
    for new in (True, False):
        file = save({"state_dict": state, "epoch": EPOCH, **beside}, tmp_path, _use_new_zipfile_serialization=new)
        learner = Learner(LEARNED[method][1])
        load_learner(learner, str(tmp_path), NAME, EPOCH, RUN | {"TRAINER.NAME": method}, CLASSES)
        for key, value in learned(method).items():
            assert torch.equal(learner.state_dict()[key], value), key
        assert set(learnable_checkpoint(file)["state_dict"]) == set(learned(method))
        assert read_checkpoint(file)["epoch"] == load_checkpoint(str(file))["epoch"] == EPOCH
    assert not target.exists()


def test_settings_are_not_read_off_what_is_no_checkpoint(tmp_path):
    for content, words in NO_STATE.values():
        file = save(content, tmp_path)
        (tmp_path / "MultiModalPromptLearner").exists() or file.parent.rename(tmp_path / "MultiModalPromptLearner")
        torch.save(content, tmp_path / "MultiModalPromptLearner" / file.name)
        with pytest.raises(InputError) as caught:
            saved_architecture("MaPLe", str(tmp_path), EPOCH)
        assert words in str(caught.value)
