"""Log output: bare messages on the *current* sys.stdout, which `setup_logger` tees into a file."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any


class StdoutHandler(logging.Handler):
    """Writes the bare message to whatever sys.stdout is at that moment, above any progress bar on the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
            if tqdm is not None and getattr(tqdm, "_instances", None):
                with tqdm.external_write_mode(file=sys.stdout):
                    sys.stdout.write(line)
            else:
                sys.stdout.write(line)
            sys.stdout.flush()
        except Exception:
            self.handleError(record)


def attach_logger(*names: str) -> None:
    """Let the top-level loggers `names` print their messages, from level INFO, as the engine's own do."""
    for name in names:
        logger = logging.getLogger(name)
        logger.propagate = False
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        if not any(isinstance(handler, StdoutHandler) for handler in logger.handlers):
            handler = StdoutHandler()
            handler.setFormatter(logging.Formatter("%(message)s"))
            logger.addHandler(handler)


class Logger:
    """A stand-in for sys.stdout that writes to the console and to a file.

    Unlike upstream's it has all attributes of a console (isatty, fileno, encoding, ...), and closing it closes only
    the file. The file is flushed at each end of line.
    """

    def __init__(self, fpath: str | None = None) -> None:
        self.console = sys.stdout
        self.file = None
        if fpath is not None:
            os.makedirs(os.path.dirname(fpath) or ".", exist_ok=True)
            self.file = open(fpath, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 (open as long as the process runs)

    def __getattr__(self, name: str) -> Any:
        if name in ("console", "file"):  # not initialised (copying, unpickling)
            raise AttributeError(name)
        return getattr(self.console, name)

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def write(self, msg: str) -> int:
        self.console.write(msg)
        if self.file is not None:
            self.file.write(msg)
            if "\n" in msg:
                self.file.flush()
        return len(msg)

    def flush(self) -> None:
        self.console.flush()
        if self.file is not None:
            self.file.flush()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def setup_logger(output: str | None = None) -> None:
    """Tee sys.stdout into `output` (a name ending in .txt or .log) or `output`/log.txt. None: do nothing.

    An existing log is never overwritten: the new name gets the suffix -YYYY-mm-dd-HH-MM-SS.
    """
    if output is None:
        return
    fpath = output if output.endswith((".txt", ".log")) else os.path.join(output, "log.txt")
    if os.path.exists(fpath):
        fpath += time.strftime("-%Y-%m-%d-%H-%M-%S")
        while os.path.exists(fpath):  # a second run within the same second
            fpath += "+"
    sys.stdout = Logger(fpath)
