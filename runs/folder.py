"""The folder of one run: is it finished, does it belong to another config, and cleaning up after bad input."""

from __future__ import annotations

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from yacs.config import CfgNode

from clipkit import InputError as BackboneInputError
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError, atomic_path
from plugins.config_keys import ADDED, plugin_keys
from plugins.origin import is_plugin

from .config import all_keys

# Keys that change where or how fast a run works, but no number in its result.
NO_EFFECT = {
    "OUTPUT_DIR", "RESUME", "VERBOSE", "DATASET.ROOT", "TEST.FEATURE_BANK",
    "DATALOADER.NUM_WORKERS", "DATALOADER.DECODED_CACHE_MB", "DATALOADER.PERSISTENT_WORKERS",
    "TRAIN.PRINT_FREQ", "TRAIN.CHECKPOINT_FREQ", "TRAIN.ROLLING_SECONDS", "TRAIN.TENSORBOARD",
    "TRAIN.WATCH_EVERY", "TEST.COMPUTE_CMAT",
    "MODEL.BACKBONE.SPEC",  # a file is read as its statement says, or refused: the numbers are those of the weights
}  # fmt: skip


def settings(cfg: CfgNode, args: Namespace) -> dict[str, object]:
    """What identifies a run: the resolved config without keys that change no number, and what is done with it.

    Plain JSON values. Settings of other methods are left out.
    """
    foreign = foreign_keys(cfg, getattr(args, "plugin_cfg", ()))
    found = {"mode": "test" if args.eval_only else "build" if args.no_train else "train"}
    if args.eval_only and args.model_dir:
        found["model"] = f"{args.model_dir}@{args.load_epoch}"
    for key in all_keys(cfg):
        if key not in NO_EFFECT and key not in foreign:
            found[key] = _value(cfg, key.split("."))
    return json.loads(json.dumps(found, default=list))


def settings_hash(found: dict[str, object]) -> str:
    """16 hex digits over `settings`."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


class RunFolder:
    """Context manager around a run's folder; holds a lock on it.

    Entering raises InputError when the folder holds a run with other settings, or another process is at work there.
    Leaving with bad input takes away what this run had just created, so that nothing half-written stays.
    """

    def __init__(self, cfg: CfgNode, args: Namespace) -> None:
        self.cfg, self.path = cfg, Path(cfg.OUTPUT_DIR)
        self.results, self.config = self.path / "results.json", self.path / "config.yaml"
        self.settings = settings(cfg, args)
        self.finished = False
        self._lock = FileLock(self.path / ".lock")

    def __enter__(self) -> RunFolder:
        self.missing = [p for p in (self.path, *self.path.parents) if not p.exists()]  # deepest first
        self.had = set(self.path.glob("*"))
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            text = f"Another process is working in {self.path}; wait for it, or give another --output-dir."
            raise InputError(text) from None
        try:
            theirs = self._recorded()
            if theirs is not None and theirs != self.settings:
                raise InputError(self._difference(theirs))
        except InputError:
            self._release()
            raise
        self.finished = theirs is not None and self.results.is_file()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        bad_input = kind is not None and issubclass(kind, (InputError, BackboneInputError))
        if bad_input and not any(self.path.glob("*/checkpoint")):  # trained epochs are worth keeping
            for file in set(self.path.glob("*")) - self.had:
                if file.is_file():
                    file.unlink()
        self._release()
        if bad_input:
            for folder in self.missing:
                with suppress(OSError):  # not empty
                    folder.rmdir()

    def put_old_log_aside(self) -> None:
        """An interrupted run's log.txt becomes log.txt-<its date>, so that log.txt is where the run ends."""
        log = self.path / "log.txt"
        if log.is_file():
            stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(log.stat().st_mtime))
            while (old := self.path / f"log.txt-{stamp}").exists():
                stamp += "+"
            log.rename(old)

    def write_config(self) -> None:
        """The resolved config, and the settings that identify the run in its first line."""
        text = f"# settings: {json.dumps(self.settings, sort_keys=True)}\n{self.cfg.dump()}"
        with atomic_path(self.config) as temporary:
            Path(temporary).write_text(text)

    def _recorded(self) -> dict | None:
        with suppress(OSError, json.JSONDecodeError):
            return json.loads(self.config.read_text().partition("\n")[0].removeprefix("# settings: "))
        return None

    def _difference(self, theirs: dict) -> str:
        keys = sorted(k for k in theirs.keys() | self.settings.keys() if theirs.get(k) != self.settings.get(k))
        shown = ", ".join(f"{k} {theirs.get(k)!r} there, {self.settings.get(k)!r} here" for k in keys[:3])
        more = ", ..." if len(keys) > 3 else ""
        return f"{self.path} holds a run with other settings ({shown}{more}); give another --output-dir, or remove it."

    def _release(self) -> None:
        self._lock.release()
        with suppress(OSError):
            (self.path / ".lock").unlink()


def _value(cfg: CfgNode, path: list[str]) -> object:
    for part in path:
        cfg = cfg[part]
    return cfg


def foreign_keys(cfg: CfgNode, plugin_cfg: Iterable[str] = ()) -> set[str]:
    """Keys that say nothing about a run: those that only other methods declare, or plugins that it does not use.

    plugin_cfg: the files of --plugin-cfg; they declare keys of a plugin's trainer. Of a trainer without any declared
    keys all are its own, but those of other plugins.
    """
    if cfg.TRAINER.NAME not in TRAINER_REGISTRY:
        return set()
    method = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
    trainers, datasets = (
        [registry.get(name) for name in registry.registered_names()]
        for registry in (TRAINER_REGISTRY, DATASET_REGISTRY)
    )
    used = (method, DATASET_REGISTRY.get(cfg.DATASET.NAME) if cfg.DATASET.NAME in DATASET_REGISTRY else None)
    strangers = [kind for kind in (*trainers, *datasets) if is_plugin(kind) and kind not in used]
    others = _declared(strangers) - _declared(kind for kind in (*trainers, *datasets) if kind not in strangers)
    own = getattr(method, "config_defaults", None)
    if not is_plugin(method):
        others |= ADDED
    elif theirs := plugin_keys(plugin_cfg):
        own = {*(own or ()), *theirs}
    if own is None:
        return others
    unused = {key for key in all_keys(cfg) if key.startswith("TRAINER.") and key.count(".") > 1}
    return (_declared(trainers) | unused | others) - set(own)


def _declared(kinds: Iterable[type]) -> set[str]:
    return {key for kind in kinds for key in getattr(kind, "config_defaults", {})}
