"""One reader for every file of weights: nothing in them runs, and what is none is said in one sentence."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from foreign_files import ADVICE_OF_TORCH, CONTENT, NO_STATE, beside_the_tensors, payloads
from safetensors.torch import save_file

from dassl.utils import InputError
from dassl.utils.inert import LET_IN, PICKLE_MODULE, Inert
from dassl.utils.torch_file import entry, read_torch_file, state_dict_in, unusable

ROOT = Path(__file__).resolve().parents[2]
FORMATS = [(True, 2), (True, 4), (True, 5), (False, 2)]  # zip archive or the older format, pickle protocol


def write(value: object, file: Path, form: tuple[bool, int] = (True, 2)) -> Path:
    torch.save(value, file, _use_new_zipfile_serialization=form[0], pickle_protocol=form[1])
    return file


@pytest.mark.parametrize("name", ["inert.py", "torch_file.py"])
def test_the_two_packages_have_the_same_reader(name):
    assert (ROOT / "dassl" / "utils" / name).read_bytes() == (ROOT / "clipkit" / name).read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_tensors_arrive_whatever_lies_beside_them(form, tmp_path):
    tensors = {
        "module.half": torch.ones(2, 3).half(),
        "module.module.twice": torch.randn(2),
        "bfloat": torch.arange(3, dtype=torch.bfloat16),
        "view": torch.arange(16.0).view(4, 4)[1:, 2],
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "unsigned": torch.tensor([1, 2], dtype=torch.uint16),
        "scalar": torch.tensor(4.5),
        "layer._extra_state": None,
    }
    found = read_torch_file(write({"state_dict": tensors, **beside_the_tensors()}, tmp_path / "file", form))
    state = state_dict_in(found, "file")
    assert set(state) == {"half", "twice", "bfloat", "view", "parameter", "unsigned", "scalar"}
    for key, value in tensors.items():
        if value is not None:
            name = key.replace("module.", "")
            assert torch.equal(state[name], value) and state[name].dtype == value.dtype, key
    assert found["val_result"] == 81.5 and found["count"] == 3 and found["array"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (
        found["history"] == {"acc": [1.0]} and found["counter"] == {"a": 2, "b": 1} and found["sets"]["base"] == {1, 2}
    )
    assert found["args"].lr == 0.1 and isinstance(found["args"], Inert) and isinstance(found["args"].root, Inert)
    assert isinstance(found["model_object"], Inert) and found["scheduler_object"].last_epoch == 0


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("which", sorted(payloads(Path("x"))))
def test_nothing_in_a_file_runs(which, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "exploded"
    payload = payloads(target)[which]
    file = write({"state_dict": {"ctx": torch.ones(2)}, "args": payload, "list": [payload]}, tmp_path / "file", form)
    assert torch.equal(state_dict_in(read_torch_file(file), file)["ctx"], torch.ones(2))
    with pytest.raises(InputError):
        found = read_torch_file(write({"state_dict": {"ctx": payload}}, tmp_path / "other", form))
        state_dict_in(found, "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "other"]


def test_a_file_cannot_change_what_others_are_given():
    """Attributes that it sets on the functions that it names stay its own."""
    # GLOBAL torch._utils _rebuild_tensor_v2, BUILD with a state of slots: {"__defaults__": 1-tuple}
    text = b"ctorch._utils\n_rebuild_tensor_v2\n(N}X\x0c\x00\x00\x00__defaults__(K\x01tstb."
    assert read_pickle(text).__defaults__ == (1,)
    for function in (LET_IN["torch._utils._rebuild_tensor_v2"], torch._utils._rebuild_tensor_v2):
        assert function.__defaults__ != (1,)
    assert read_pickle(text.split(b"(N")[0] + b".").__defaults__ is None


def test_a_damaged_index_takes_no_memory():
    text = b"\x80\x02}r\x00\x00\x80\x00."  # an empty dict, kept under the index 2 ** 23
    tracemalloc.start()
    assert read_pickle(text) == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def read_pickle(text: bytes) -> object:
    return PICKLE_MODULE.load(io.BytesIO(text))


@pytest.mark.parametrize("which", sorted(NO_STATE))
def test_what_is_no_state_dict_is_named(which, tmp_path):
    content, words = NO_STATE[which]
    file = write(content, tmp_path / "file.pt")
    with pytest.raises(InputError) as caught:
        state_dict_in(read_torch_file(file), file)
    one_sentence(caught.value, file, words)


@pytest.mark.parametrize("which", sorted(CONTENT))
def test_what_is_no_file_of_weights_is_named(which, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, words = CONTENT[which]
    file = tmp_path / "file.pt"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_torch_file(file)
    one_sentence(caught.value, file, words)
    assert not (tmp_path / "exploded").exists()


def one_sentence(error: Exception, file: Path, words: str) -> None:
    text = str(error)
    assert words in text and str(file) in text and "\n" not in text
    assert not any(word in text for word in ADVICE_OF_TORCH)


def test_archives_folders_and_missing_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("weights/model.pt", "x")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.zip")
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(tmp_path / "script.pt"))
    for name, words in {"a.zip": "zip archive of other files", "a.tar": "tar archive", "script.pt": "TorchScript",
                        ".": "is a folder", "none": "does not exist"}.items():  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_torch_file(tmp_path / name)
    assert set(read_torch_file(tmp_path / "script.pt", scripts=True)) == {"weight", "bias"}


def test_the_content_counts_and_not_the_ending(tmp_path):
    save_file({"ctx": torch.ones(2)}, tmp_path / "safe.pt")
    torch.save({"ctx": torch.ones(2)}, tmp_path / "torch.safetensors")
    for name in ("safe.pt", "torch.safetensors"):
        assert torch.equal(state_dict_in(read_torch_file(tmp_path / name), name)["ctx"], torch.ones(2))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.full((2,), float("nan")), "not finite"),
        (torch.tensor([1.0, float("inf")]), "not finite"),
        (torch.tensor([1e300, 0.0], dtype=torch.float64), "not finite"),  # in the learner's fp32
        (torch.tensor([1, 2]), "int64"),
        (torch.tensor([True, False]), "bool"),
        (torch.tensor([1j, 0]), "complex64"),
        (torch.ones(3), "shape (3,) instead of (2,)"),
        (torch.ones(2).to_sparse(), "without plain values"),
        (torch.ones(2, device="meta"), "without plain values"),
        (torch.ones(2).half(), None),
        (torch.ones(2).double(), None),
        (torch.ones(2).bfloat16(), None),
    ],
)
def test_which_values_can_be_taken(value, words):
    found = unusable("ctx", value, torch.zeros(2))
    assert found is None if words is None else words in found
    assert unusable("count", torch.tensor(3), torch.tensor(0)) is None  # a counter of a batch norm


def test_an_entry_that_is_no_dict_counts_as_none():
    assert entry({"run": {"a": 1}}, "run") == {"a": 1}
    assert all(entry({"run": value}, "run") == {} for value in (None, [1], "x", Inert())) and entry({}, "run") == {}


def mutated(content: bytes, random: random.Random) -> bytes:
    """One to twenty bytes or runs of bytes changed, taken out, put in, or the end cut off."""
    found = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        place, change = random.randrange(len(found)), random.random()
        if change < 0.6:
            found[place] = random.randrange(256)
        elif change < 0.75:
            del found[place : place + random.choice((1, 4, 100))]
        elif change < 0.9:
            found[place:place] = random.randbytes(random.choice((1, 4, 50)))
        else:
            del found[place + 1 :]
        found = found or bytearray(b"x")
    return bytes(found)


def test_damaged_files_are_read_or_refused_in_one_sentence(tmp_path, monkeypatch):
    """DAMAGED_FILES=5000 in the environment tries more."""
    monkeypatch.chdir(tmp_path)
    state = {"state_dict": {"ctx": torch.randn(4, 8), "b": torch.ones(3).half()}, "epoch": 3}
    whole = [write(state | beside_the_tensors() | payloads(tmp_path / "exploded"), tmp_path / "x", form).read_bytes()
             for form in FORMATS] + [write(state, tmp_path / "x", form).read_bytes() for form in FORMATS]  # fmt: skip
    save_file(state["state_dict"], tmp_path / "x")
    whole.append((tmp_path / "x").read_bytes())
    draws, refused, count = random.Random(0), 0, int(os.environ.get("DAMAGED_FILES", "120"))
    for _ in range(count):
        (tmp_path / "x").write_bytes(mutated(draws.choice(whole), draws))
        try:
            state_dict_in(read_torch_file(tmp_path / "x"), "x")
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and not any(word in str(error) for word in ADVICE_OF_TORCH)
    assert 0 < refused < count and [p.name for p in tmp_path.iterdir()] == ["x"]
