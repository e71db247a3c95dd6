"""Training on features of crops: the same numbers whatever lies on disk, whoever put it there, and if it is spoiled."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from clipkit import ImageEncoder
from clipkit.appended_file import AppendedFile
from dassl.engine import TRAINER_REGISTRY
from trainers.coop import CoOp
from trainers.shared.crop_features import CropFeatures
from trainers.shared.planned_crops import Passes

NOVEL = {"TRAINER.SAR.NOVEL_SOURCE": "file", "TRAINER.SAR.NOVEL_FILE": "language/novel_classes/digits.json"}
FROZEN = {
    "CoOp": {}, "CoCoOp": {}, "KgCoOp": {}, "ProGrad": {}, "TCP": {}, "PTNL": {}, "DPSEP": {}, "CoOpSAR": NOVEL,
    "NLPrompt": {}, "JoAPR": {"TRAINER.JOAPR.W": 1}, "VisPrompt": {"TRAINER.VISPROMPT.VIS_SOURCE": "global"},
    "IVLP": {"TRAINER.IVLP.N_CTX_VISION": 0, "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 3},
}  # fmt: skip


@pytest.fixture
def bank(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    return tmp_path / "bank"


class Ended(Exception):
    """What a run is killed by here."""


def trained(tiny, folder, method="CoOp", **pairs) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The learner's tensors after a training without its test, and the tower's accounts."""
    trainer = tiny.trainer(folder, method, {"TEST.NO_TEST": True} | FROZEN.get(method, {}) | pairs)
    trainer.train()
    return {name: x.clone() for name, x in trainer.model.state_dict().items()}, trainer.tower_accounts()


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", FROZEN)
def test_cold_warm_and_without(tiny, tmp_path, bank, method):
    without, _ = trained(tiny, tmp_path / "0", method, **{"TRAIN.FEATURE_BANK": False})
    assert not list(bank.glob("*.features"))
    cold, first = trained(tiny, tmp_path / "1", method)
    warm, second = trained(tiny, tmp_path / "2", method)
    assert same(without, cold) and same(cold, warm)
    assert len(list(bank.glob("*.features"))) == 1
    assert second["training_crops_read"] > first["training_crops_read"] == 0
    assert second["images_encoded"] < first["images_encoded"]


def test_warm_no_image_is_read_or_encoded_by_whatever_method_noise_and_batch_size(tiny, tmp_path, bank, monkeypatch):
    noise = {"DATASET.NOISE_RATE": 0.5, "DATASET.NOISE_TYPE": "sym_other"}
    trained(tiny, tmp_path / "1", "CoOp", **{"DATALOADER.TRAIN_X.BATCH_SIZE": 3}, **noise)
    assert len(list(bank.glob("*.features"))) == 1
    forbid = lambda *_: pytest.fail("an image is read")  # noqa: E731
    monkeypatch.setattr("dassl.data.wrapper.DatasetWrapper.__getitem__", forbid)
    monkeypatch.setattr(ImageEncoder, "__call__", forbid)
    for i, method in enumerate(("CoOp", "KgCoOp", "ProGrad", "TCP", "PTNL", "DPSEP")):
        _, found = trained(tiny, tmp_path / f"w{i}", method, **(noise if method != "CoOp" else {}))
        assert found == {"images_encoded": 0, "training_crops_read": 36, "views_read": 0}  # 3 epochs, 12 images
    assert len(list(bank.glob("*.features"))) == 1


def test_a_feature_does_not_depend_on_the_batch_size_or_on_what_was_there(tiny, tmp_path, bank):
    """Positions that are encoded one by one, in any company, have the features of a whole pass."""
    trainer = tiny.trainer(tmp_path / "1", "CoOp", {"TRAIN.FEATURE_BANK": False})
    order = trainer.train_loader_x.next_pass()
    crops, passes = CropFeatures(trainer), Passes(lambda _: order, 12)
    whole = crops.features(passes, range(12))
    for positions in ([0], [11, 3], [5, 4, 7, 2, 1]):
        assert torch.equal(crops.features(passes, positions), whole[positions])
    image = torch.stack([trainer.train_loader_x.dataset[item]["img"] for item in order])
    assert torch.equal(whole, trainer.frozen_image(image))  # and these are the loader's crops


@pytest.mark.parametrize(
    "pairs",
    [{"SEED": 2}, {"INPUT.RRCROP_SCALE": (0.5, 1.0)}, {"DATASET.NUM_SHOTS": 2}, {"DATASET.SUBSAMPLE_CLASSES": "new"}],
    ids=str,
)
def test_other_crops_are_not_taken_for_these(tiny, tmp_path, bank, pairs):
    trained(tiny, tmp_path / "1")
    without, _ = trained(tiny, tmp_path / "2", **pairs, **{"TRAIN.FEATURE_BANK": False})
    found, accounts = trained(tiny, tmp_path / "3", **pairs)
    assert same(without, found) and accounts["training_crops_read"] == 0


def test_workers(tiny, tmp_path, bank):
    without, _ = trained(tiny, tmp_path / "0", **{"TRAIN.FEATURE_BANK": False})
    cold, _ = trained(tiny, tmp_path / "1", **{"DATALOADER.NUM_WORKERS": 2})
    assert same(without, cold)


def test_a_killed_run_leaves_its_epochs_to_the_next(tiny, tmp_path, bank, monkeypatch):
    whole, _ = trained(tiny, tmp_path / "0", **{"TRAIN.FEATURE_BANK": False})
    with monkeypatch.context() as patch, pytest.raises(Ended):
        encode, calls = CropFeatures._encode, []

        def twice(self, *args):
            calls.append(args)
            if len(calls) == 3:
                raise Ended
            return encode(self, *args)

        patch.setattr(CropFeatures, "_encode", twice)
        trained(tiny, tmp_path / "1")
    found, accounts = trained(tiny, tmp_path / "2")
    assert same(whole, found) and accounts == {"images_encoded": 12, "training_crops_read": 24, "views_read": 0}


def damage(file) -> None:
    data = bytearray(file.read_bytes())
    for place in range(len(data) // 3, len(data), len(data) // 3):
        data[place] ^= 255
    file.write_bytes(data)


@pytest.mark.parametrize(
    "what", [damage, lambda file: file.write_bytes(b""), os.unlink, lambda file: os.truncate(file, 3000)]
)
def test_a_damaged_or_removed_file(tiny, tmp_path, bank, what):
    cold, _ = trained(tiny, tmp_path / "1")
    what(next(bank.glob("*.features")))
    found, accounts = trained(tiny, tmp_path / "2")
    assert same(cold, found) and accounts["images_encoded"] > 0
    assert trained(tiny, tmp_path / "3")[1]["images_encoded"] == 0  # and it is mended


def test_evicted_in_the_middle(tiny, tmp_path, bank, monkeypatch):
    cold, _ = trained(tiny, tmp_path / "1")
    read = AppendedFile.read

    def gone(self, name):
        found = read(self, name)
        self.path.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(AppendedFile, "read", gone)
    assert same(cold, trained(tiny, tmp_path / "2")[0])


@pytest.mark.parametrize("room", ["full", "too small", "read only"])
def test_no_room(tiny, tmp_path, bank, monkeypatch, room):
    whole, _ = trained(tiny, tmp_path / "0", **{"TRAIN.FEATURE_BANK": False})
    if room == "full":

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("clipkit.appended_file.os.open", full)
    elif room == "too small":
        monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", "0.000001")
    else:
        bank.parent.mkdir(exist_ok=True)
        bank.write_text("no folder")
    assert same(whole, trained(tiny, tmp_path / "1")[0])


def _train(tiny, folder, barrier, results):
    torch.set_num_threads(1)
    barrier.wait()
    found, accounts = trained(tiny, folder, "PTNL")
    results.put((accounts["images_encoded"], {name: x.tolist() for name, x in found.items() if name == "ctx"}))


def test_concurrent_runs_encode_each_crop_once(tiny, tmp_path, bank):
    whole, _ = trained(tiny, tmp_path / "0", "PTNL", **{"TRAIN.FEATURE_BANK": False})
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    jobs = [context.Process(target=_train, args=(tiny, tmp_path / str(i), barrier, results)) for i in (1, 2)]
    for job in jobs:
        job.start()
    found = [results.get(timeout=60) for _ in jobs]
    for job in jobs:
        job.join()
    assert sum(encoded for encoded, _ in found) == 36  # 3 epochs, 12 images
    assert all(learned["ctx"] == whole["ctx"].tolist() for _, learned in found)


def test_a_method_that_does_not_say_so_gets_images(tiny, tmp_path, bank):
    class Looks(CoOp):
        def loss(self, image, label):
            assert image.ndim == 4
            return super().loss(image, label)

    TRAINER_REGISTRY.register()(Looks)
    try:
        for method in ("Looks", "MaPLe"):
            trained(tiny, tmp_path / method, method)
    finally:
        del TRAINER_REGISTRY._members["Looks"]
    assert not list(bank.glob("*.features"))


def test_a_transform_that_nobody_can_read_is_not_kept(tiny, tmp_path, bank):
    trainer = tiny.trainer(tmp_path / "1")
    transform = trainer.train_loader_x.dataset.transform
    trainer.train_loader_x.dataset.transform = lambda image: transform(image)
    trainer.train()
    assert not list(bank.glob("*.features")) and trainer.tower_accounts()["images_encoded"] > 0


@pytest.mark.parametrize(
    ("method", "pairs"),
    [
        ("NLPrompt", {"TRAINER.NLPROMPT.COMPAT": "released", "DATALOADER.TRAIN_X.BATCH_SIZE": 2}),
        ("JoAPR", {"TRAINER.JOAPR.W": 0, "TRAINER.JOAPR.MIX_ALPHA": 0.5}),
    ],
    ids=["a scoring pass of its own", "mixed images"],
)
def test_passes_of_their_own(tiny, tmp_path, bank, method, pairs):
    noise = {"DATASET.NOISE_RATE": 0.5, "DATASET.NOISE_TYPE": "sym_other"} | pairs
    without, _ = trained(tiny, tmp_path / "0", method, **{"TRAIN.FEATURE_BANK": False}, **noise)
    cold, _ = trained(tiny, tmp_path / "1", method, **noise)
    warm, accounts = trained(tiny, tmp_path / "2", method, **noise)
    assert same(without, cold) and same(cold, warm)
    assert (accounts["images_encoded"] > 0) == (method == "JoAPR")  # the mixed ones


def test_methods_that_choose_their_batches_meet_the_crops_of_an_ordinary_pass(tiny, tmp_path, bank):
    trained(tiny, tmp_path / "1", "CoOp")
    for method in ("NLPrompt", "VisPrompt"):
        trainer = tiny.trainer(tmp_path / method, method, {"TEST.NO_TEST": True} | FROZEN[method])
        trainer.training_list.logits()  # the features under the test transform are not what this is about
        before = trainer.tower_accounts()["images_encoded"]
        trainer.train()
        assert trainer.tower_accounts() == {"images_encoded": before, "training_crops_read": 36, "views_read": 0}


def test_images_are_cropped_as_features_are(tiny, tmp_path, bank):
    """Where the same items are listed, also several times in an epoch."""
    trainer = tiny.trainer(tmp_path / "1", "NLPrompt")
    listed, batches = trainer.listed_batches, [[3, 1], [0, 3, 3], [1]]
    on_features = list(listed.load(batches, epoch=1))
    trainer.frozen_image_encoder = False
    trainer.__dict__["_crop_features"] = None
    on_images = list(listed.load(batches, epoch=1))
    for f, x, indices in zip(on_features, on_images, batches, strict=True):
        assert f["index"].tolist() == x["index"].tolist() == indices and f["impath"] == x["impath"]
        assert torch.equal(f["pixels"](), x["img"])
        torch.testing.assert_close(f["img"], trainer.frozen_image(x["img"]), atol=1e-6, rtol=0)
    crops = on_images[0]["img"][0], on_images[1]["img"][1], on_images[1]["img"][2]
    assert not any(torch.equal(a, b) for i, a in enumerate(crops) for b in crops[i + 1 :])  # another crop each time


MEMORY = """
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
import torch
from clipkit.appended_file import AppendedFile
from dassl.data.seeded_loader import SeededIndex
from speed.peak_memory import peak_of
from trainers.shared.crop_features import CropFeatures, _Table
from trainers.shared.planned_crops import Passes

size, d, chunks = 2048, 2048, int(sys.argv[2])
file = AppendedFile(Path(sys.argv[1]), {})
passes = Passes(lambda turn: [SeededIndex(i, turn) for i in range(chunks * size)], chunks * size)
for chunk in range(chunks):
    record = {"position": torch.arange(size).int(), "feature": torch.randn(size, d)}
    with file.locked():
        file.append(_Table(passes, chunk).name, record)
crops = CropFeatures.__new__(CropFeatures)
crops.trainer = SimpleNamespace(reads=Counter(), device=torch.device("cpu"), precision="fp32")
crops.file, crops.rows = file, 32
crops.features(passes, [0])
read = lambda: crops.features(passes, range((chunks - 1) * size, chunks * size))
print(peak_of(read, torch.device("cpu")) / (size * d * 4))
"""


@pytest.mark.parametrize("chunks", [2, 6])
def test_the_memory_that_the_docs_say(tmp_path, chunks):
    """docs/caching.md: the features of 2,048 crops four times over, whatever is the size of the list. d is large here,
    so that nothing else counts, and the process is a new one whose allocator gives back what is freed: in one that has
    done other work the system counts kept pages too, and how many differs."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", MEMORY, str(tmp_path / "bank.features"), str(chunks)]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert 2.5 < float(run.stdout) < 5
