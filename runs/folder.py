"""The folder of one run: locks it, checks whether it holds a finished run or another config, cleans up after errors."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from argparse import Namespace
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout
from yacs.config import CfgNode

from clipkit import InputError as BackboneInputError
from dassl.config.yaml_file import as_yaml
from dassl.utils import DivergedError, InputError, atomic_path, read_json
from dassl.utils.errors import unreadable
from interop.plugins.failures import PluginFailed

from .outputs import file_name
from .settings import settings

ANOTHER = "another --output-dir"


class RunFolder:
    """Context manager that locks a run's folder.

    Entering raises InputError if the folder cannot be written, holds a run with other settings, or another process is
    working in it. Only a results.json or a checkpoint makes a run, so the remains of a run that failed or was killed
    before do not block other settings. If the block raises an error, files that this run created are removed and those
    that it replaced are restored; trained epochs are kept, and the log too unless the error is bad input. `notes`:
    sentences for the log.
    """

    def __init__(self, cfg: CfgNode, args: Namespace) -> None:
        if not isinstance(cfg.OUTPUT_DIR, str):
            raise InputError(f"OUTPUT_DIR is {cfg.OUTPUT_DIR}, but must be the name of a folder (--output-dir FOLDER).")
        self.cfg, self.path = cfg, Path(cfg.OUTPUT_DIR)
        self.results, self.config = self.path / "results.json", self.path / "config.yaml"
        self.settings = settings(cfg, args)
        self.finished = False
        self.notes: list[str] = []
        self._before: dict[Path, bytes] = {}  # old contents of files that this run replaces
        self._lock = FileLock(self.path / ".lock")

    def __enter__(self) -> RunFolder:
        self._open()
        try:
            self.check_free(["tensorboard"])
            theirs, record = self._recorded(), self._record()
            if self._holds_a_run() and theirs is not None and theirs != self.settings:
                raise InputError(self._difference(theirs))
        except InputError:
            self._release()
            raise
        self.finished = theirs == self.settings and record is not None
        return self

    def _open(self) -> None:
        """Make the folder and lock it."""
        self.missing, self.had, self.had_checkpoint = [], set(), False
        try:
            self.missing = [p for p in (self.path, *self.path.parents) if not p.exists()]  # deepest first
            self.path.mkdir(parents=True, exist_ok=True)
            self.had, self.had_checkpoint = set(self.path.glob("*")), self._checkpoints()
            self._lock.acquire(timeout=0)
        except Timeout:
            text = f"Another process is working in {self.path}; wait for it, or give another --output-dir."
            raise InputError(text) from None
        except (OSError, ValueError, NotImplementedError) as error:
            self._remove_folders()
            reason = getattr(error, "strerror", None) or error
            where = str(self.path) if len(str(self.path)) < 200 else f"{str(self.path)[:200]}..."
            raise InputError(
                f"{where} cannot be the folder of a run ({reason}); give an --output-dir (OUTPUT_DIR) that can be "
                "written."
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failure = error if isinstance(error, Exception) else None  # an interrupted run is no failure
        bad_input = isinstance(failure, (InputError, BackboneInputError)) and kind is not PluginFailed
        if failure is not None and not self._worth_keeping(failure):
            self._undo(keep=set() if bad_input else {self.path / "log.txt"})
        self._release()
        if failure is not None:
            self._remove_folders()

    def _worth_keeping(self, error: Exception) -> bool:
        """Whether to keep the files: if there are checkpoints, except the only one of a training that diverged."""
        models = set(self.path.glob("*/model*.tar*"))
        diverged = isinstance(error, DivergedError) and len(models) == len({file.parent for file in models})
        return self._checkpoints() and not (diverged and not self.had_checkpoint)

    def _undo(self, keep: set[Path]) -> None:
        for path in set(self.path.glob("*")) - self.had - keep:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        for path, content in self._before.items():
            if path not in keep:
                path.write_bytes(content)

    def _remove_folders(self) -> None:
        for folder in self.missing:
            with suppress(OSError, ValueError):  # not empty, or never made
                folder.rmdir()

    def check_free(self, folders: Iterable[str] = ()) -> None:
        """Raises InputError if a file that the run writes exists as a folder, or one of its `folders` as a file."""
        for path in (self.config, self.path / "log.txt", self.path / file_name(self.cfg.TEST.SPLIT)):
            if path.is_dir():
                raise InputError(f"{path} is a folder, where this run writes a file; remove it, or give {ANOTHER}.")
        for path in (self.path / name for name in folders):
            if os.path.lexists(path) and not path.is_dir():
                raise InputError(f"{path} is no folder, where this run makes one; remove it, or give {ANOTHER}.")

    def put_old_log_aside(self) -> None:
        """Rename the log.txt of an interrupted run to log.txt-<its date>, so that log.txt is the newest log."""
        log = self.path / "log.txt"
        if log.is_file():
            self._before[log] = log.read_bytes()
            stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(log.stat().st_mtime))
            while (old := self.path / f"log.txt-{stamp}").exists():
                stamp += "+"
            log.rename(old)

    def write_config(self) -> None:
        """Write the resolved config as config.yaml, with the settings that identify the run in the first line."""
        if self.config.is_file():
            self._before[self.config] = self.config.read_bytes()
        head = f"# settings: {json.dumps(self.settings, sort_keys=True)}\n"
        with atomic_path(self.config) as temporary:
            Path(temporary).write_text(head + as_yaml(self.cfg), encoding="utf-8")

    def _recorded(self) -> dict | None:
        with suppress(OSError, ValueError):
            return json.loads(self.config.read_text().partition("\n")[0].removeprefix("# settings: "))
        return None

    def _record(self) -> dict | None:
        """The content of results.json; None without one. A damaged file counts as none, and a note is added."""
        if not os.path.lexists(self.results):
            return None
        if not self.results.is_file():
            raise InputError(f"{self.results} is no file, so this run could not write its result there; remove it.")
        try:
            record = read_json(self.results)
            accuracy = (record.get("results") or {}).get("accuracy", 0.0)
            if record["settings_hash"] and math.isfinite(accuracy):
                return record
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if why := unreadable(error):  # it may be whole
                raise InputError(
                    f"{self.results} cannot be read ({why}); make it readable, or give {ANOTHER}."
                ) from error
        self.notes.append(f"{self.results} is damaged or no result, so the run does not count as finished: repeated")
        return None

    def _checkpoints(self) -> bool:
        return any(self.path.glob("*/checkpoint"))

    def _holds_a_run(self) -> bool:
        return self.results.is_file() or self._checkpoints()

    def _difference(self, theirs: dict) -> str:
        differing = (k for k in theirs.keys() | self.settings.keys() if theirs.get(k) != self.settings.get(k))
        keys = sorted(differing, key=lambda k: (k not in ("TRAINER.NAME", "DATASET.NAME"), k))
        shown = ", ".join(f"{k} {theirs.get(k)!r} there, {self.settings.get(k)!r} here" for k in keys[:3])
        more = ", ..." if len(keys) > 3 else ""
        return f"{self.path} holds a run with other settings ({shown}{more}); give another --output-dir, or remove it."

    def _release(self) -> None:
        self._lock.release()
        with suppress(OSError):
            (self.path / ".lock").unlink()
