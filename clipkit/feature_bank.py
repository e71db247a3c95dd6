"""Features on disk: computed once, shared by all runs."""

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .cache_room import VARIABLE, make_room, used
from .files import atomic_path, check_writable, locked

logger = logging.getLogger(__name__)

Features = dict[str, Tensor]


class FeatureBank:
    """A folder of tensors, each file named after the hash of everything that its content depends on.

    root: the folder; by default $ROBUSTPROMPT_CACHE, else ~/.cache/robustprompt.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root or os.environ.get("ROBUSTPROMPT_CACHE") or "~/.cache/robustprompt").expanduser()

    def get(self, key: Mapping[str, object], compute: Callable[[], Mapping[str, Tensor]]) -> Features:
        """The tensors stored under `key` (on the CPU), computed and stored if they are not there.

        key: JSON values that name all that the result depends on (weights, images, preprocessing ...).
        compute: called at most once among processes that ask at the same time; the others wait for the result.

        A damaged file, or one that holds another key, is rebuilt. If the folder cannot be written the result is
        returned all the same, with a warning in the log.
        """
        canonical = json.dumps(key, sort_keys=True, separators=(",", ":"))
        path = self.path(key)
        found = _read(path, canonical)
        if found is not None:
            return found
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            logger.warning("Features cannot be kept in %s: %s", self.root, error)
        with locked(path.with_suffix(".lock")):
            found = _read(path, canonical)  # another process may have been first
            if found is not None:
                return found
            features = {name: value.detach().cpu().contiguous() for name, value in compute().items()}
            _write(path, canonical, features)
            return features

    def check_writable(self) -> None:
        """Raises InputError unless the folder can be written; for commands whose purpose is to fill the bank."""
        check_writable(self.root / "new.safetensors", "ROBUSTPROMPT_CACHE leads to a folder that takes no features:")

    def path(self, key: Mapping[str, object]) -> Path:
        """The file of `key`."""
        canonical = json.dumps(key, sort_keys=True, separators=(",", ":"))
        return self.root / f"{hashlib.sha256(canonical.encode()).hexdigest()}.safetensors"


def _read(path: Path, canonical: str) -> Features | None:
    if not path.is_file():
        return None
    try:
        stored, features = read_whole(path)
        if stored == canonical:
            used(path)
            return features
        logger.warning("%s holds the features of another key and is rebuilt", path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        logger.warning("%s is damaged (%s) and is rebuilt", path, error)
    return None


def read_whole(path: Path) -> tuple[str, Features]:
    """(key as JSON, features) of a file. Raises ValueError if they are not those that were written; OSError and
    SafetensorError if the file cannot be read."""
    with safetensors.safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
        # cloned: matrix products add up unaligned memory in another order, so their last bits would differ
        features = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
    if about.get("crc32") != _checksum(features):
        raise ValueError("its checksum is wrong" if "crc32" in about else "it has no checksum")
    return about.get("key", ""), features


def _checksum(features: Features) -> str:
    """CRC-32 over the tensors' bytes, in the order of their names."""
    value = 0
    for name in sorted(features):
        value = zlib.crc32(features[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return str(value)


def _write(path: Path, canonical: str, features: Features) -> None:
    try:
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(features, temporary, metadata={"key": canonical, "crc32": _checksum(features)})
            if not make_room(path.parent, temporary.stat().st_size, path):
                raise OSError(f"{VARIABLE} is too small")
    except (OSError, safetensors.SafetensorError) as error:
        logger.warning("Features were computed but not kept, %s cannot be written: %s", path, error)
