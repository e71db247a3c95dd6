"""A file of named records that several processes append to and read at the same time.

    RobustPrompt features 1 {key}\n
    {"name": ..., "bytes": ..., "crc32": ...}\n  and that many bytes: tensors as safetensors       (one for each record)

Readers ignore an incomplete record (a killed writer, a full disk); the next writer cuts it off. A record whose checksum
is wrong counts as missing. So a reader gets the tensors that were written, or none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from .cache_room import VARIABLE, make_room, used
from .files import locked

logger = logging.getLogger(__name__)

MAGIC = b"RobustPrompt features 1 "
LONGEST = 1 << 16  # bytes of a header line


class Record(NamedTuple):
    """Where the bytes of a record lie in the file."""

    start: int
    size: int
    crc32: int


class AppendedFile:
    """The records of one key.

    path: the file, which need not exist. key: JSON values that name all that the records depend on.
    """

    def __init__(self, path: Path, key: Mapping[str, object]) -> None:
        self.path = path
        self.head = MAGIC + json.dumps(key, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        self._tells = True  # of a file that cannot be written: once
        self._forget()

    def _forget(self) -> None:
        self._inode, self._end = (0, 0), 0
        self._records: dict[str, list[Record]] = defaultdict(list)

    def read(self, name: str) -> list[dict[str, Tensor]]:
        """The records of that name, in the order in which they were appended; needs no lock."""
        try:
            with open(self.path, "rb") as file:
                self._scan(file)
                found = [tensors for record in list(self._records[name]) if (tensors := self._load(file, name, record))]
        except FileNotFoundError:  # not there yet, or not any more
            self._forget()
            return []
        except OSError as error:
            logger.warning("%s cannot be read (%s): its features are computed anew", self.path, error)
            return []
        if found:
            used(self.path)
        return found

    def names(self) -> set[str]:
        """The names of all records; needs no lock."""
        try:
            with open(self.path, "rb") as file:
                self._scan(file)
        except OSError:
            self._forget()
        return {name for name, records in self._records.items() if records}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the file's lock: no other process appends within the block."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".lock")):
            yield

    def append(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Adds a record; call it within `locked`. A file that cannot be written is one warning in the log, no error."""
        data = safetensors.torch.save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
        about = json.dumps({"name": name, "bytes": len(data), "crc32": zlib.crc32(data)}).encode() + b"\n"
        if not make_room(self.path.parent, len(about) + len(data), self.path):
            self._tell("%s takes no more features: %s is too small; they are computed in each run", self.path, VARIABLE)
            return
        try:
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
                self._scan(file)
                begin = self._end
                file.truncate(begin)  # what a killed writer left behind the last whole record
                file.seek(begin)
                try:
                    file.write((b"" if begin else self.head) + about + data)
                    file.flush()
                except OSError:
                    file.truncate(begin)
                    raise
        except OSError as error:
            self._tell("Features were computed but not kept, %s cannot be written: %s", self.path, error)

    def _tell(self, text: str, *values: object) -> None:
        if self._tells:
            logger.warning(text, *values)
        self._tells = False

    def _scan(self, file: BinaryIO) -> None:
        """Indexes the records appended since the last scan, up to the first incomplete one."""
        stat = os.fstat(file.fileno())
        if (stat.st_dev, stat.st_ino) != self._inode or stat.st_size < self._end:
            self._forget()
            self._inode = (stat.st_dev, stat.st_ino)
        file.seek(self._end)
        if not self._end and file.read(len(self.head)) != self.head:
            return  # empty, damaged or of another key: the next writer begins anew
        for name, record in whole_records(file, stat.st_size):
            self._records[name].append(record)
        self._end = file.tell()

    def _load(self, file: BinaryIO, name: str, record: Record) -> dict[str, Tensor]:
        tensors = load(file, record)
        if not tensors:
            logger.warning("%s is damaged (%s): these features are computed anew", self.path, name)
            self._records[name].remove(record)
        return tensors


def whole_records(file: BinaryIO, size: int) -> Iterator[tuple[str, Record]]:
    """Yields name and position of each complete record from the file's position on, which ends behind the last of them.
    size: bytes in the file."""
    while True:
        begin = file.tell()
        line = file.readline(LONGEST)
        try:
            about = json.loads(line)
            name, record = str(about["name"]), Record(file.tell(), int(about["bytes"]), int(about["crc32"]))
        except (ValueError, KeyError, TypeError):
            record = Record(0, -1, 0)
        if not line.endswith(b"\n") or record.size < 0 or record.start + record.size > size:
            file.seek(begin)
            return
        yield name, record
        file.seek(record.start + record.size)


def load(file: BinaryIO, record: Record) -> dict[str, Tensor]:
    """A record's tensors; {} if its bytes are not those that were written."""
    file.seek(record.start)
    data = file.read(record.size)
    if len(data) != record.size or zlib.crc32(data) != record.crc32:
        return {}
    try:
        # cloned: matrix products add up unaligned memory in another order, so their last bits would differ
        return {key: value.clone() for key, value in safetensors.torch.load(data).items()}
    except (safetensors.SafetensorError, ValueError):
        return {}
