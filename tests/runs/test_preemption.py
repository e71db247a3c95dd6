"""SIGTERM and SIGUSR1: a run stops where it goes on exactly, says so, and ends with the numbers of one left alone."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import torch

from dassl.engine import TRAINER_REGISTRY, preemption

EPOCHS = 4
PAIRS = {"OPTIM.MAX_EPOCH": EPOCHS, "TRAIN.ROLLING_SECONDS": 1000}


@pytest.fixture(autouse=True)
def own_signals():
    """A run that leaves ignores further signals; the tests go on."""
    torch.set_num_threads(1)
    before = {number: signal.getsignal(number) for number in preemption.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """{method: folder of its uninterrupted run}, made when asked for."""
    torch.set_num_threads(1)
    made: dict[str, Path] = {}

    def folder(method: str) -> Path:
        if method not in made:
            made[method] = tmp_path_factory.mktemp(method) / "run"
            assert tiny.run(made[method], method, pairs=PAIRS) == 0
        return made[method]

    return folder


def call_at(monkeypatch, method: str, epoch: int, batch: int, action) -> None:
    """`action()` before this batch's step; counted from 0."""
    kind = TRAINER_REGISTRY.get(method)
    step = kind.forward_backward

    def stepped(self, *args):
        if (self.epoch, self.batch_idx) == (epoch, batch):
            action()
        return step(self, *args)

    monkeypatch.setattr(kind, "forward_backward", stepped)


def send(*signals: int):
    return lambda: [os.kill(os.getpid(), number) for number in signals]


def saved(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*/model.pth.tar-*"))


def assert_same(folder: Path, other: Path) -> None:
    for file in other.glob(f"*/model.pth.tar-{EPOCHS}"):
        mine = torch.load(folder / file.relative_to(other), weights_only=True)["state_dict"]
        for name, tensor in torch.load(file, weights_only=True)["state_dict"].items():
            assert torch.equal(tensor, mine[name]), name
    results = [json.loads((each / "results.json").read_text())["results"] for each in (folder, other)]
    assert results[0] == results[1]


@pytest.mark.parametrize("number", preemption.SIGNALS)
@pytest.mark.parametrize("method", ["CoOp", "PromptSRC", "NLPrompt"])
def test_the_epoch_is_finished_and_saved(tiny, tmp_path, whole, monkeypatch, method, number):
    reference = whole(method)
    with monkeypatch.context() as patch:
        call_at(patch, method, 2, 1, send(number, number))  # the second one changes nothing
        assert tiny.run(tmp_path / "run", method, pairs=PAIRS) == 130
    assert saved(tmp_path / "run") == ["model.pth.tar-3"] and not (tmp_path / "run" / "results.json").exists()
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"{signal.Signals(number).name}: stopped after epoch 3, which is saved" in log
    assert tiny.run(tmp_path / "run", method, pairs=PAIRS) == 0
    assert "epoch [3/4]" not in (tmp_path / "run" / "log.txt").read_text()
    assert_same(tmp_path / "run", reference)


def test_a_long_epoch_is_given_up(tiny, tmp_path, whole, monkeypatch):
    reference = whole("CoOp")
    with monkeypatch.context() as patch:
        patch.setitem(preemption.PATIENCE, "SIGTERM", -1.0)
        call_at(patch, "CoOp", 2, 1, send(signal.SIGTERM))
        assert tiny.run(tmp_path / "run", pairs=PAIRS | {"TRAIN.ROLLING_SECONDS": 0}) == 130
    assert saved(tmp_path / "run") == ["model.pth.tar-2"]
    assert "SIGTERM: epoch 3 is too long to be finished" in (tmp_path / "run" / "log.txt").read_text()
    assert tiny.run(tmp_path / "run", pairs=PAIRS) == 0
    assert_same(tmp_path / "run", reference)


def test_nothing_is_lost_before_the_first_epoch_ends(tiny, tmp_path, whole, monkeypatch):
    """How long the first epoch takes is not known at its first batch."""
    with monkeypatch.context() as patch:
        call_at(patch, "CoOp", 0, 0, send(signal.SIGTERM))
        assert tiny.run(tmp_path / "run", pairs=PAIRS) == 130
    assert saved(tmp_path / "run") == []
    assert tiny.run(tmp_path / "run", pairs=PAIRS) == 0
    assert_same(tmp_path / "run", whole("CoOp"))


def test_the_signal_reaches_a_loaders_worker_first(tiny, tmp_path, whole, monkeypatch):
    """Schedulers send it to every process of a job; a dead worker is then no failure of the run."""
    reference, pairs = (
        whole("CoOp"),
        PAIRS | {"DATALOADER.NUM_WORKERS": 1, "TRAIN.ROLLING_SECONDS": 0, "TRAIN.FEATURE_BANK": False},
    )
    kills, timers, wait = [], [], preemption._Watch.wait

    def action() -> None:
        workers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        assert workers
        kills.append(subprocess.Popen(["kill", "-TERM", *workers]))  # their parent they would obey quietly
        while True:  # until the loader notices
            threading.Event().wait(0.01)

    def noticed(watch) -> None:
        timers.append(threading.Timer(0.01, send(signal.SIGTERM)))
        timers[0].start()
        wait(watch)

    with monkeypatch.context() as patch:
        patch.setattr(preemption, "NOTICE", 60.0)  # seconds, on a busy machine; the signal ends it
        patch.setattr(preemption._Watch, "wait", noticed)
        call_at(patch, "CoOp", 2, 1, action)
        assert tiny.run(tmp_path / "run", pairs=pairs) == 130
    timers[0].join()
    gc.collect()  # the loader and its dead worker, whose death this process would still be told of
    assert kills[0].wait() == 0
    assert "SIGTERM: it ended a data loader's worker, too" in (tmp_path / "run" / "log.txt").read_text()
    assert saved(tmp_path / "run") == ["model.pth.tar-2"]
    assert tiny.run(tmp_path / "run", pairs=pairs) == 0
    assert_same(tmp_path / "run", reference)


def test_a_worker_that_dies_by_itself_is_a_failure(tiny, tmp_path, monkeypatch):
    def action() -> None:
        for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        for _ in range(6000):  # until the loader notices
            threading.Event().wait(0.01)

    call_at(monkeypatch, "CoOp", 1, 0, action)
    pairs = PAIRS | {"DATALOADER.NUM_WORKERS": 1, "TRAIN.FEATURE_BANK": False}  # else no step waits for a worker
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        tiny.run(tmp_path / "run", pairs=pairs)


def test_in_the_test_after_training(tiny, tmp_path, whole, monkeypatch):
    reference, kind = whole("CoOp"), TRAINER_REGISTRY.get("CoOp")
    with monkeypatch.context() as patch:
        infer = kind.model_inference
        patch.setattr(kind, "model_inference", lambda self, *args: [send(signal.SIGTERM)(), infer(self, *args)][1])
        assert tiny.run(tmp_path / "run", pairs=PAIRS) == 130
    assert saved(tmp_path / "run") == ["model.pth.tar-4"]
    assert tiny.run(tmp_path / "run", pairs=PAIRS) == 0
    assert "epoch [" not in (tmp_path / "run" / "log.txt").read_text()
    assert_same(tmp_path / "run", reference)


def test_handlers_are_given_back(tiny, tmp_path):
    def mine(number, frame) -> None:
        pass

    signal.signal(signal.SIGTERM, mine)
    assert tiny.run(tmp_path / "run", pairs=PAIRS | {"OPTIM.MAX_EPOCH": 1}) == 0
    assert signal.getsignal(signal.SIGTERM) is mine


def test_another_thread_has_no_handlers():
    found = []

    def inside() -> None:
        with preemption.stopping_in_good_order():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]
