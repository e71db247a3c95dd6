"""Every method's training step and answer on a CUDA device that is not there (`fake_cuda.py`), in fp32, amp and fp16.

A tensor that stayed in the host's memory, a dtype that does not fit, and a wait for the device within a step or an
answer, but for those in `ALLOWED`, fail a test here. What it cannot show: speed, rounding, and kernels that CUDA lacks.
"""

from __future__ import annotations

import pytest
import torch
from fake_cuda import CUDA, FakeCuda
from helpers import FITTING
from torch.nn import functional as F

import clipkit
import trainers  # noqa: F401  (registers the methods)
from dassl.engine import TRAINER_REGISTRY
from dassl.engine.guards import learns
from dassl.utils import errors

NAMES = sorted(n for n in TRAINER_REGISTRY.registered_names() if TRAINER_REGISTRY.get(n).__module__[:9] == "trainers.")
BASE = "trainers/base.py", "forward_backward"
ITEM = "_local_scalar_dense"

# (file, function, what it waits with): why a step or an answer waits there for the device.
ALLOWED = {
    (*BASE, "tolist"): "once a step: what is logged, in one transfer",
    (*BASE, ITEM): "once a step under amp: GradScaler's own look whether a gradient overflowed",
    ("trainers/parts/step_trainer.py", "forward_backward", ITEM): "was the step skipped?",
    ("trainers/prometar.py", "forward_backward", "tolist"): "once a step: what is logged, in one transfer",
    ("trainers/parts/episode.py", "draw_episode", "_to_copy"): "once a step: shapes depend on the labels",
    ("trainers/twosfs.py", "loss", ITEM): "once a run: has a resumed head left zero?",
    ("trainers/twosfs.py", "encode_text", ITEM): "once a test: has every class a row?",
    ("clipkit/fingerprint.py", "fingerprint", "_to_copy"): "once a run: the backbone's part of a key, for fixed texts",
    ("clipkit/frozen_text.py", "<lambda>", "_to_copy"): "once: fixed texts go to disk",
    ("trainers/tta/trainer.py", "model_inference", "_to_copy"): "views are drawn on the host",
    ("trainers/tta/trainer.py", "answer", ITEM): "once a group of images: is the answer finite?",
    ("trainers/tda.py", "summary", ITEM): "the entropy is a key of the cache, which the host orders",
    ("trainers/tda.py", "learn", ITEM): "the predicted class is a key of the cache",
    ("trainers/boostadapter.py", "read", "tolist"): "keys of the cache, all views of an image together",
    ("trainers/mta.py", "settle", ITEM): "rounds go on until they converge",
    ("trainers/zero.py", "break_tie", ITEM): "once an image: is there a tie?",
    ("trainers/zero.py", "break_tie", "a mask as an index"): "of a tie only: the views that prefer a tied class",
}  # fmt: skip
# Precisions that a method refuses with a sentence of its own; all else is run.
REFUSED = {(name, "fp16"): "must be one of fp32, amp, bf16" for name in (
    "BoostAdapter", "CTPT", "MTA", "OTPT", "RTPT", "SSTPT", "TAPT", "TDA", "TPS", "TPT", "TTC", "ZERO",
)} | {("ProMetaR", "amp"): "second derivatives"}  # fmt: skip
# Trained against attacks, which need weights of fp32: asked for fp16 they take amp.
AMP_FOR_FP16 = ["ANPromptAT", "APT", "AdvIVLP", "AdvMaPLe", "AdvPT", "AdvVPT", "CoOpAT", "FAP", "MaPLeAT"]
STEPS = {"TwoSFS": 2}  # one of each stage; of all others one


def settings(method: str, novel) -> dict:
    """What the method needs on the tiny backbone, and small numbers of views and attack steps."""
    known = (method, method.removesuffix("SAR"), method.removesuffix("AT"), method.removeprefix("Adv"))
    pairs = dict(next((FITTING[name] for name in known if name in FITTING), {}))
    pairs |= {"TRAINER.TTA.N_VIEWS": 5, "TRAIN_ATTACK.STEPS": 1}
    if method == "AdvMaPLe":
        pairs |= FITTING["FAP"]
    if method == "TwoSFS":
        pairs |= {"TRAINER.TWOSFS.STEPS": 9, "TRAINER.TWOSFS.ALPHA": 0.12}
    if method.endswith("SAR"):
        S = "TRAINER.SAR."
        pairs |= {S + "NOVEL_SOURCE": "file", S + "NOVEL_FILE": novel, S + "NUM_NOVEL": 3, S + "SAMPLE_SIZE": 5}
    if method == "TAPT":
        pairs |= {"TRAINER.TAPT.FROM": novel.parent / "prompts", "TRAINER.TAPT.GAMMA": 1.0}
    return pairs


@pytest.fixture(scope="module")
def novel(tiny, tmp_path_factory):
    """A file of class names; beside it is a run whose prompts TAPT tunes."""
    file = tmp_path_factory.mktemp("novel") / "names.txt"
    assert tiny.run(file.parent / "prompts", "AdvIVLP", pairs=FITTING["IVLP"] | {"OPTIM.MAX_EPOCH": 1}) == 0
    file.write_text("brick tower\nwire fence\nred kite\n")
    return file


def watched(call, *args):
    FakeCuda.watching = True
    try:
        return call(*args)
    finally:
        FakeCuda.watching = False


def built(tiny, folder, method: str, precision: str, novel):
    node = TRAINER_REGISTRY.get(method).node
    return tiny.trainer(folder, method, settings(method, novel) | {f"{node}.PREC": precision})


@pytest.mark.parametrize("precision", ["fp32", "amp", "fp16"])
@pytest.mark.parametrize("method", NAMES)
def test_a_step_and_an_answer(tiny, tmp_path, novel, method, precision):
    if (method, precision) in REFUSED:
        with FakeCuda(), pytest.raises((clipkit.InputError, errors.InputError), match=REFUSED[method, precision]):
            built(tiny, tmp_path, method, precision, novel)
        return
    with FakeCuda() as gpu:
        trainer = built(tiny, tmp_path, method, precision, novel)
        assert trainer.device.type == "cuda"
        if precision == "fp16" and method in AMP_FOR_FP16:
            assert trainer.precision == "amp"  # which is run by itself
            return
        assert trainer.precision == precision
        if learns(trainer):
            step(trainer, STEPS.get(method, 1))
        if trainer._models:
            trainer.set_model_mode("eval")
        image = next(iter(trainer.test_loader))["img"][:2].to(trainer.device)
        with torch.no_grad():
            answer = watched(trainer.model_inference, image)
        assert answer.device == CUDA and answer.shape == (2, 3) and bool(answer.isfinite().all())
    unknown = {place: count for place, count in gpu.waits.items() if place not in ALLOWED}
    assert not unknown, f"waits for the device in {unknown}"


def step(trainer, count: int) -> None:
    """The first steps of a training, on what it trains on (features, where these are enough)."""
    trainer.before_train()
    trainer.epoch = trainer.batch_idx = 0
    trainer.before_epoch()
    trainer.set_model_mode("train")
    batches = trainer._batches()
    for _ in range(count):
        (batch,) = next(batches)
        trainer.num_batches = 10**6
        summary = watched(trainer.forward_backward, batch)
    assert summary["loss"] == summary["loss"]
    for name, p in trainer.model.named_parameters():
        assert p.device == CUDA, name
        assert p.grad is None or (p.grad.device == CUDA and p.grad.dtype == p.dtype), name
    logged = sum(n for place, n in FakeCuda.waits.items() if place[2] == "tolist" and "forward_backward" in place[1])
    assert logged == count  # one transfer a step for all that is logged


def test_numbers_are_those_of_the_cpu(tiny, tmp_path, novel):
    def first(folder) -> list[float]:
        trainer = tiny.trainer(folder, "MaPLe", settings("MaPLe", novel) | {"TRAINER.MAPLE.PREC": "fp32"})
        trainer.epoch = trainer.batch_idx = 0
        trainer.num_batches = 10**6
        batch = next(iter(trainer.train_loader_x))
        return [trainer.forward_backward(batch)["loss"] for _ in range(2)]

    with FakeCuda():
        there = first(tmp_path / "1")
    assert there == pytest.approx(first(tmp_path / "2"), rel=1e-6) and there[0] != there[1]


WRONG = {
    "a tensor left behind": lambda x: x + torch.ones(3),
    "indices there, values here": lambda x: torch.ones(3)[x.argmax(dim=1)],
    "a dtype that does not fit": lambda x: x.half() @ x.t(),
    "numpy": lambda x: x.numpy(),
}
WAITS = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x.any()),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "copy_": lambda x: torch.zeros(2, 3).copy_(x),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
}
FREE = {
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "a single number": lambda x: x + torch.tensor(2.0),
    "indices": lambda x: x[torch.tensor([0, 1], device="cuda")],
    "type": lambda x: x.type(torch.float16).type_as(x).to(x),
    "one_hot": lambda x: F.cross_entropy(x, torch.zeros(2, dtype=torch.long, device="cuda")),
}


def at(call):
    with FakeCuda() as gpu:
        x = torch.ones(2, 3, device="cuda", requires_grad=True) * 1.0
        watched(call, x.detach())
        return sum(gpu.waits.values())


@pytest.mark.parametrize("what", WRONG)
def test_what_a_gpu_refuses_is_refused(what):
    with pytest.raises((RuntimeError, TypeError)):
        at(WRONG[what])


@pytest.mark.parametrize("what", [*WAITS, *FREE])
def test_waits_are_seen(what):
    assert at((WAITS | FREE)[what]) == (what in WAITS)


def test_amp_computes_in_half_precision_there():
    with FakeCuda():
        x = torch.ones(2, 2, device="cuda")
        with torch.autocast("cuda", torch.float16):
            assert ((x @ x).dtype, (x @ x).exp().dtype) == (torch.float16, torch.float32)
            assert (x @ x).softmax(dim=1).dtype == F.layer_norm(x @ x, (2,)).dtype == torch.float32
            with torch.autocast("cuda", enabled=False):
                assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.float32 and (x @ x).device == CUDA
