"""Files of weights as the world has them: published checkpoints with whatever lay beside the tensors, and mistakes."""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import pickle
import subprocess
from pathlib import Path

import numpy as np
import torch
from yacs.config import CfgNode


class Call:
    """Pickled as the call of a function: what a malicious file would run on whoever unpickles it."""

    def __init__(self, function, *args) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def beside_the_tensors() -> dict:
    """What published checkpoints hold beside their tensors."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        "args": argparse.Namespace(lr=0.1, root=pathlib.Path("/data"), run=os.getcwd),
        "cfg": CfgNode({"OPTIM": CfgNode({"LR": 0.1})}),
        "val_result": np.float64(81.5),
        "count": np.int32(3),
        "array": np.arange(6.0).reshape(2, 3),
        "objects": np.array([1, "a", None], dtype=object),
        "path": pathlib.PosixPath("/data/x"),
        "history": collections.defaultdict(list, {"acc": [1.0]}),
        "counter": collections.Counter("aab"),
        "sets": {"base": {1, 2}, "new": frozenset([3])},
        "optimizer_object": optimizer,
        "scheduler_object": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3),
        "random": np.random.RandomState(0).get_state(),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "model_object": model,
    }


def payloads(target: Path) -> dict[str, Call]:
    """Objects that would leave the file `target` if anything of them ran."""
    return {
        "os.system": Call(os.system, f"touch {target}"),
        "eval": Call(eval, f"open({str(target)!r}, 'w')"),
        "exec": Call(exec, f"open({str(target)!r}, 'w')"),
        "method": Call(pathlib.Path.touch, target),
        "subprocess": Call(subprocess.call, ["touch", str(target)]),
        "of a call": Call(getattr, Call(pathlib.Path, str(target)), "touch"),
        "torch.load": Call(torch.load, str(target)),
        "unpickling": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {target}"))),
    }


# What is no checkpoint, and a word of the sentence that says so.
NO_STATE = {
    "no state_dict": ({"epoch": 3}, "entries epoch"),
    "None": ({"state_dict": None}, "state_dict is None"),
    "a list": ({"state_dict": [1]}, "state_dict is a list"),
    "a string": ({"state_dict": "x"}, "state_dict is a str"),
    "lists for tensors": ({"state_dict": {"ctx": [1.0]}}, "a list under 'ctx'"),
    "nested": ({"state_dict": {"model": {"ctx": torch.ones(1)}}}, "a dict under 'model'"),
    "whole numbers as keys": ({"state_dict": {0: torch.ones(1)}}, "the key 0"),
    "bare, whole numbers as keys": ({0: torch.ones(1)}, "the key 0"),
    "bare and lists": ({"ctx": torch.ones(1), "b": [1]}, "a list under 'b'"),
    "empty": ({}, "it is empty"),
    "top list": ([1, 2], "it is a list"),
    "tensor": (torch.ones(2), "it is a Tensor"),
    "string": ("x", "it is a str"),
    "model": (torch.nn.Linear(2, 2), "pickled object (torch.nn.modules.linear.Linear)"),
    "model in state_dict": ({"state_dict": torch.nn.Linear(2, 2)}, "pickled object"),
}

# Content of files that are something else, and a word of the sentence that says so.
CONTENT = {
    "page": (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page"),
    "page2": (b"<HTML>", "web page"),
    "xml": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n", "git-LFS pointer"),
    "gzip": (b"\x1f\x8b\x08\x00abcdef", "gzip"),
    "text": (b"hello world", "text file"),
    "json": (b'{"message": "Not found"}', "text file"),
    "empty": (b"", "0 bytes"),
    "noise": (bytes(range(256)) * 4, "damaged"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    "pickle": (pickle.dumps({"state_dict": [1]}), "damaged"),
    "evil pickle": (pickle.dumps(Call(os.system, "touch exploded")), "damaged"),
}
ADVICE_OF_TORCH = ("weights_only", "torch.load", "\x1b", "arbitrary code")
