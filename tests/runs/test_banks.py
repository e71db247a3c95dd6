"""Whole runs on both banks of features, of training crops and of views: whatever happens to the files, each run ends
with the numbers, to the last bit, of one without a bank."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import saved_weights
from processes import Fork

import train
from clipkit import appended_file, arithmetic, files
from clipkit.appended_file import AppendedFile
from runs.targets import ROOT

OFF = {"TRAIN.FEATURE_BANK": False, "TEST.FEATURE_BANK": False}
# bank: (method, its flags, its pairs)
BANKS: dict[str, tuple[str, tuple, dict]] = {
    "crops": ("KgCoOp", (), {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}),
    "views": ("RTPT", ("--eval-only",), {"TRAINER.TTA.N_VIEWS": 6, "TRAINER.TTA.AUGMIX": "off"}),
}


def run(tiny, folder: Path, bank: str, **pairs) -> int:
    method, flags, own = BANKS[bank]
    return tiny.run(folder, method, flags, {"TEST.OUTPUTS": "logits"} | own | pairs)


def found(folder: Path, bank: str) -> dict[str, np.ndarray]:
    """All that a run's test wrote about its images, and what it has learned."""
    with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
        numbers = {name: stored[name] for name in stored.files}
    learned = saved_weights(folder) if bank == "crops" else {}
    return numbers | {name: x.float().numpy() for name, x in learned.items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def tower(folder: Path) -> dict[str, int]:
    return json.loads((folder / "results.json").read_text())["image_tower"]


@pytest.fixture(scope="module", params=BANKS)
def bank(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def without(tiny, bank, tmp_path_factory) -> dict[str, np.ndarray]:
    """What is found without a bank."""
    folder = tmp_path_factory.mktemp("without")
    assert run(tiny, folder, bank, **OFF) == 0
    return found(folder, bank)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def ends_the_same(tiny, folder: Path, bank: str, without: dict, **pairs) -> dict[str, int]:
    """The tower's accounts of a run that must end well, with the numbers of the one without a bank."""
    assert run(tiny, folder, bank, **pairs) == 0
    assert same(found(folder, bank), without)
    return tower(folder)


class Stops:
    """A file of which a write stops in its middle."""

    def __init__(self, real, then: Callable[[], None]) -> None:
        self.real, self.then = real, then

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.real.close()

    def write(self, data: bytes) -> None:
        self.real.write(data[: len(data) // 2])
        self.real.flush()
        self.then()


def stop_writing(patch: pytest.MonkeyPatch, at: int, then: Callable[[], None]) -> None:
    """The record number `at` and all later ones are written by half; `then` is what happens."""
    written = []

    def opened(path, mode):
        file = open(path, mode)  # noqa: SIM115
        if mode == "r+b":
            written.append(path)
        return Stops(file, then) if mode == "r+b" and len(written) >= at else file

    patch.setattr(appended_file, "open", opened, raising=False)


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_cold_and_warm(tiny, tmp_path, cache, bank, without):
    cold = ends_the_same(tiny, tmp_path / "1", bank, without)
    warm = ends_the_same(tiny, tmp_path / "2", bank, without)
    assert cold["images_encoded"] > 0 and warm["images_encoded"] == 0
    assert warm["training_crops_read"] + warm["views_read"] == {"crops": 36, "views": 72}[bank]


def test_a_cpu_of_another_kind_reads_nothing_of_this_one(tiny, tmp_path, cache, bank, without, monkeypatch):
    """Machines that share a home directory: what rounds otherwise is encoded anew, and the record says on what."""
    here = arithmetic(torch.device("cpu"))
    ends_the_same(tiny, tmp_path / "1", bank, without)
    monkeypatch.setattr(sys.modules["clipkit.fingerprint"], "processor", lambda: "Abacus, family 1")
    other = ends_the_same(tiny, tmp_path / "2", bank, without)
    assert other == tower(tmp_path / "1") and len(list(cache.glob("*.features"))) == 2
    devices = [json.loads((tmp_path / name / "results.json").read_text())["device"] for name in ("1", "2")]
    assert devices[0] == here and devices[1].startswith("Abacus, family 1, ")


def test_half_filled_by_a_killed_run(tiny, tmp_path, cache, bank, without):
    def killed() -> int:
        with pytest.MonkeyPatch.context() as patch:
            stop_writing(patch, 2, lambda: os.kill(os.getpid(), signal.SIGKILL))
            return run(tiny, tmp_path / "1", bank)

    assert Fork(killed).wait() == -signal.SIGKILL
    (file,) = cache.glob("*.features")
    (kept,) = AppendedFile(file, json.loads(file.read_bytes().split(b"\n")[0].split(b" ", 3)[3])).names()
    assert kept  # one whole record, and half of another
    other = ends_the_same(tiny, tmp_path / "2", bank, without)
    assert other["images_encoded"] > 0 and other["training_crops_read"] + other["views_read"] > 0
    ends_the_same(tiny, tmp_path / "1", bank, without)  # the killed run itself goes on
    assert ends_the_same(tiny, tmp_path / "3", bank, without)["images_encoded"] == 0


@pytest.mark.parametrize("locks", [True, False], ids=["", "no locks"])
def test_two_concurrent_runs(tiny, tmp_path, cache, bank, without, locks, monkeypatch):
    """On a file system with locks each feature is encoded once; without, twice at most, and none is wrong."""
    if not locks:

        class NoLock:
            def __init__(self, path: str) -> None: ...

            def acquire(self, timeout: float = -1) -> None:
                raise NotImplementedError("no flock here")

        monkeypatch.setattr(files, "filelock", types.SimpleNamespace(FileLock=NoLock, Timeout=TimeoutError))
    folders = [tmp_path / "1", tmp_path / "2"]
    jobs = [Fork(partial(run, tiny, folder, bank)) for folder in folders]
    assert [job.wait() for job in jobs] == [0, 0]
    assert all(same(found(folder, bank), without) for folder in folders)
    encoded = sum(tower(folder)["images_encoded"] for folder in folders)
    (tmp_path / "alone").mkdir()
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "alone" / "cache"))
    once = ends_the_same(tiny, tmp_path / "3", bank, without)["images_encoded"]
    assert encoded == once if locks else once <= encoded <= 2 * once
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(cache))
    ends_the_same(tiny, tmp_path / "4", bank, without)  # whatever two writers left


def test_a_full_disk(tiny, tmp_path, cache, bank, without, monkeypatch):
    with monkeypatch.context() as patch:
        stop_writing(patch, 2, full_disk)
        ends_the_same(tiny, tmp_path / "1", bank, without)
    assert (tmp_path / "1" / "log.txt").read_text().count("No space left on device") == 1
    ends_the_same(tiny, tmp_path / "2", bank, without)
    assert ends_the_same(tiny, tmp_path / "3", bank, without)["images_encoded"] == 0


def test_a_damaged_file(tiny, tmp_path, cache, bank, without):
    ends_the_same(tiny, tmp_path / "1", bank, without)
    for file in [*cache.glob("*.features"), *cache.glob("*.safetensors")]:
        data = bytearray(file.read_bytes())
        for place in range(len(data) // 3, len(data), len(data) // 3):
            data[place] ^= 255
        file.write_bytes(data)
    assert ends_the_same(tiny, tmp_path / "2", bank, without)["images_encoded"] > 0
    assert ends_the_same(tiny, tmp_path / "3", bank, without)["images_encoded"] == 0


@pytest.mark.parametrize("warm", [False, True])
def test_evicted_in_the_middle(tiny, tmp_path, cache, bank, without, warm, monkeypatch):
    """After each look into it the file is gone, as if other runs needed its room."""
    if warm:
        ends_the_same(tiny, tmp_path / "1", bank, without)
    read = AppendedFile.read

    def gone(self, name):
        records = read(self, name)
        self.path.unlink(missing_ok=True)
        return records

    monkeypatch.setattr(AppendedFile, "read", gone)
    ends_the_same(tiny, tmp_path / "2", bank, without)


def test_no_room_at_all(tiny, tmp_path, cache, bank, without, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", "0")
    ends_the_same(tiny, tmp_path / "1", bank, without)
    assert not list(cache.glob("*.features")) and not list(cache.glob("*.safetensors"))


@pytest.mark.parametrize("place", ["a file", "/proc/robustprompt"])
def test_a_folder_that_cannot_be_written(tiny, tmp_path, bank, without, place, monkeypatch):
    if place == "a file":
        (tmp_path / place).touch()
        place = str(tmp_path / place)
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", place)
    ends_the_same(tiny, tmp_path / "1", bank, without)
    assert "cannot be " in (tmp_path / "1" / "log.txt").read_text()


def test_workers(tiny, tmp_path, cache, bank, without):
    ends_the_same(tiny, tmp_path / "1", bank, without, **{"DATALOADER.NUM_WORKERS": 2})
    assert ends_the_same(tiny, tmp_path / "2", bank, without)["images_encoded"] == 0


def test_two_precisions_on_one_cache(tiny, tmp_path, cache, bank, without):
    node = {"crops": "TRAINER.COOP.PREC", "views": "TRAINER.TTA.PREC"}[bank]
    ends_the_same(tiny, tmp_path / "1", bank, without)
    assert run(tiny, tmp_path / "2", bank, **OFF, **{node: "bf16"}) == 0
    other = found(tmp_path / "2", bank)
    assert not same(other, without)
    for folder, warm in ((tmp_path / "3", False), (tmp_path / "4", True)):
        assert (ends_the_same(tiny, folder, bank, other, **{node: "bf16"})["images_encoded"] == 0) == warm
    sizes = sorted(file.stat().st_size for file in cache.glob("*.features"))
    assert len(sizes) == 2 and sizes[0] < 0.8 * sizes[1]  # 16 bits for each number, and 32


@pytest.mark.parametrize("change", ["an image", "the list"])
def test_other_images_under_the_same_names(tiny, tmp_path, cache, bank, change):
    """Features of the pictures that were there before are not taken for those of the new ones."""
    root = shutil.copytree(tiny.root, tmp_path / "data")
    here = type(tiny)(root, tiny.backbone)
    assert run(here, tmp_path / "1", bank) == 0
    images = sorted((root / "tiny" / "images").iterdir())
    if change == "an image":
        parts = [file for file in images if "_train_" in file.name or "_test_" in file.name]
        before = [(file.stat(), file.read_bytes()) for file in parts]
        for file, (stat, data) in zip(parts, [*before[1:], before[0]], strict=True):
            file.write_bytes(data)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        split = root / "tiny" / "split_zhou_Tiny.json"
        tree = json.loads(split.read_text())
        for part in ("train", "test"):
            tree[part] = tree[part][1:]
        split.write_text(json.dumps(tree))
        shutil.rmtree(root / "tiny" / "split_fewshot", ignore_errors=True)
    assert run(here, tmp_path / "2", bank, **OFF) == 0
    new = found(tmp_path / "2", bank)
    assert not same(new, found(tmp_path / "1", bank))
    ends_the_same(here, tmp_path / "3", bank, new)


def documented(caption: str) -> list[list[str]]:
    """The rows of the table of docs/caching.md whose header begins with these cells."""
    lines = (ROOT / "docs" / "caching.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(caption))
    rows = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 20] if line.startswith("|")]
    assert rows
    return rows


def test_the_documented_sizes():
    for _, items, epochs, d, bytes_, megabytes in documented("| crops |"):
        count = np.prod([int(cell.replace(",", "")) for cell in (items, epochs, d, bytes_)])
        assert f"{count / 1e6:,.0f}" == megabytes
    for _, images, views, d, bytes_, megabytes in documented("| views |"):
        count = np.prod([int(cell.replace(",", "")) for cell in (images, views, d, bytes_)])
        assert f"{count / 1e6:,.1f}" == megabytes


def test_the_documented_example_on_real_files(tiny, tmp_path, cache):
    """Digits under the embedded CLIP: what docs/caching.md says of the files of two epochs, and of six views."""
    page = (ROOT / "docs" / "caching.md").read_text(encoding="utf-8")
    command = next(line.split() for line in page.splitlines() if line.startswith("    python train.py"))
    words = [{"DATA": str(tmp_path / "data")}.get(word, word) for word in command[2:]]
    assert train.run(["--output-dir", str(tmp_path / "run"), *words, "TEST.NO_TEST", "True"]) == 0
    (file,) = cache.glob("*.features")
    said = re.search(r"160 x 2 x 128 x 4 = ([\d,]+) bytes, and the file has ([\d,]+)", page)
    formula, whole = (int(text.replace(",", "")) for text in said.groups())
    assert formula == 160 * 2 * 128 * 4
    assert abs(file.stat().st_size - whole) < 100  # the head names versions, which may have more digits
    assert whole - formula < 160 * 2 * 4 + 2 * 500 + 1500  # places, heads of two records, head of the file


def test_the_size_of_a_file_of_views(tiny, tmp_path, cache):
    """images x views x d x bytes; a head for each image, and one of the file."""
    assert run(tiny, tmp_path / "1", "views") == 0
    (file,) = cache.glob("*.features")
    formula = 12 * 6 * 32 * 4
    assert formula < file.stat().st_size < formula + 12 * 250 + 2500


def test_more_epochs_than_before(tiny, tmp_path, cache):
    """A longer training reads the epochs of a shorter one that had another batch size, and adds its own."""
    pairs = {"OPTIM.MAX_EPOCH": 5}
    assert run(tiny, tmp_path / "0", "crops", **pairs, **OFF) == 0
    assert run(tiny, tmp_path / "1", "crops", **{"DATALOADER.TRAIN_X.BATCH_SIZE": 3}) == 0
    assert run(tiny, tmp_path / "2", "crops", **pairs) == 0
    one, other = (saved_weights(tmp_path / name, 5) for name in "02")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert tower(tmp_path / "2")["training_crops_read"] == 36 and tower(tmp_path / "2")["images_encoded"] == 24
