"""`robustprompt doctor`: whether this computer can run the project. A line is ok, a note, or a fault with what to do.

The standard library comes first, so that a Python without torch is told what it lacks. Nothing is left behind.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 10)
LITTLE, VERY_LITTLE = 20e9, 1e9  # bytes: less than the cache may take by default; less than a small suite writes
ARCHIVE = "ViT-B-16.pt"
RUNTIME = "# Development."  # the line of requirements.txt below which nothing is needed for runs


class Finding(NamedTuple):
    """state: "ok", "note" (it works, with a limit) or "fault"; said: what was found, and what to do unless it is ok."""

    state: str
    said: str


def examination(data: Path, output: Path) -> tuple[str, int]:
    """(the text, 1 if there are faults else 0). data: the folder of the datasets; output: of the runs."""
    findings = {"Python": python(sys.version_info[:2]), "packages": packages(ROOT / "requirements.txt")}
    torch_there = _version("torch") is not None
    first = "it was not looked at: install what is missing first"
    findings["torch"] = torch() if torch_there else Finding("fault", _install("torch is missing"))
    findings["GPU"] = gpu() if torch_there else Finding("note", first)
    able = all(finding.state != "fault" for finding in findings.values())
    late: dict[str, Callable[[], Finding]] = {
        "embedded CLIP": lambda: embedded(ROOT / "clipkit" / "embedded" / "clip.safetensors"),
        "CLIP weights": lambda: weights(Path("~/.cache/clip").expanduser()),
        "datasets": lambda: datasets(data),
        "cache": lambda: folder(cache_root(), "ROBUSTPROMPT_CACHE"),
        "output": lambda: folder(output, "--output-dir, or OUTPUT of the scripts,"),
    }
    needs = {"datasets"}
    for name, look in late.items():
        findings[name] = Finding("note", first) if name in needs and not able else look()
    findings["disk, cache"] = disk(cache_root(), "ROBUSTPROMPT_CACHE")
    findings["disk, output"] = disk(output, "--output-dir")
    for name, place in (("locks, cache", cache_root()), ("locks, output", output)):
        findings[name] = locks(place) if _version("filelock") else Finding("note", first)
    rows = [f"{finding.state:<6} {name:<14} {finding.said}" for name, finding in findings.items()]
    states = [finding.state for finding in findings.values()]
    count = states.count("fault")
    end = f"{count} to mend." if count else "Nothing stands in the way of a run."
    return "\n".join([*rows, "", end]), int(count > 0)


def python(version: tuple[int, ...]) -> Finding:
    """version: such as (3, 11)."""
    text = ".".join(map(str, version))
    if version < OLDEST:
        return Finding("fault", f"{text} is too old; use {'.'.join(map(str, OLDEST))} or newer")
    return Finding("ok", f"{text} ({sys.executable})")


def packages(requirements: Path) -> Finding:
    """Of the runtime part of a requirements file (lines "name==version"): what is missing, or of another version."""
    text = requirements.read_text(encoding="utf-8").partition(RUNTIME)[0]
    pins = re.findall(r"^([\w-]+)==([\w.]+)", text, re.M)
    missing = [name for name, _ in pins if _version(name) is None]
    if missing:
        return Finding("fault", _install(f"{', '.join(missing)}: missing"))
    others = [
        f"{name} {has}" for name, pin in pins if (has := str(_version(name)).partition("+")[0]) != pin.partition("+")[0]
    ]
    if others:
        return Finding("note", f"not the pinned versions, which may change last digits: {', '.join(others)}")
    return Finding("ok", f"all {len(pins)} of requirements.txt, in the pinned versions")


def torch() -> Finding:
    """Whether torch can be imported, and computes."""
    try:
        import torch as found

        total = float(found.ones(3).sum())
    except Exception as error:  # a broken installation raises many kinds
        return Finding("fault", _install(f"torch does not start ({type(error).__name__}: {error})"))
    if total != 3:
        return Finding("fault", _install(f"torch {found.__version__} adds three ones to {total:g}"))
    return Finding("ok", f"{found.__version__}; CPU threads: {found.get_num_threads()}")


def gpu() -> Finding:
    """The GPUs that torch can use; a fault only if there is one that it cannot use."""
    try:
        import torch as found

        if found.cuda.is_available():
            names = [
                f"{p.name}, {p.total_memory / 1e9:.0f} GB"
                for p in map(found.cuda.get_device_properties, range(found.cuda.device_count()))
            ]
            float(found.ones(3, device="cuda").sum())
            return Finding("ok", f"CUDA {found.version.cuda}: {'; '.join(names)}")
    except Exception as error:  # drivers fail in many ways
        return Finding("fault", f"torch finds a GPU that does not work ({error}); look at nvidia-smi, or take the CPU "
                                "by CUDA_VISIBLE_DEVICES= before a command")  # fmt: skip
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Finding("note", "CUDA_VISIBLE_DEVICES hides all GPUs; runs take the CPU")
    if shutil.which("nvidia-smi"):
        build = f"CUDA {found.version.cuda}" if found.version.cuda else "the CPU alone"
        return Finding("fault", f"nvidia-smi is there, but torch (built for {build}) finds no GPU; install a torch for "
                                "the driver's CUDA (pytorch.org), or ask for a node with a GPU")  # fmt: skip
    return Finding("note", "none: the embedded suite runs on the CPU; ViT-B/16 on real data wants a GPU")


def embedded(file: Path) -> Finding:
    """The small CLIP that comes with the tree; a pointer in its place (Git LFS) is some hundred bytes."""
    size = file.stat().st_size if file.is_file() else 0
    if size < 100_000:
        return Finding("fault", f"{file} is missing or cut; `git checkout -- {file}` brings it back")
    return Finding("ok", f"{size / 1e6:.1f} MB")


def weights(folder: Path) -> Finding:
    """OpenAI's archives in their download folder. Their checksums are verified when they are loaded, not here."""
    there = {path.name: path.stat().st_size for path in sorted(folder.glob("*.pt"))} if folder.is_dir() else {}
    if ARCHIVE in there:
        names = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in there.items())
        return Finding("ok", f"{folder}: {names}")
    return Finding("note", f"no {ARCHIVE} in {folder}: it is downloaded on first use; without internet put it there "
                           "or give MODEL.BACKBONE.PATH (the embedded suite needs none)")  # fmt: skip


def datasets(root: Path) -> Finding:
    """Which folders of datasets there are; what is in them, `data doctor` says."""
    import datasets  # noqa: F401  registers the loaders
    from datasets.reading.catalog import entries

    with_files = [entry for entry in entries() if getattr(entry.loader, "dataset_dir", "") or entry.own_folder]
    there = [entry.stem for entry in with_files if entry.stem != entry.name and entry.folder(root).is_dir()]
    more = f"python -m datasets doctor --root {root}"
    if there:
        return Finding("ok", f"{root.absolute()}: {', '.join(there)}; their files: {more}")
    return Finding("note", f"none in {root.absolute()}: --root names another folder, {more} says what belongs there; "
                           "the embedded ones need no files")  # fmt: skip


def cache_root() -> Path:
    """The folder of cached features, as `clipkit.FeatureBank` has it."""
    return Path(os.environ.get("ROBUSTPROMPT_CACHE") or "~/.cache/robustprompt").expanduser()


def folder(place: Path, name: str) -> Finding:
    """Whether files can be written there, or where it would be made. name: what leads to another place."""
    where = _existing(place)
    trial = where / f".doctor-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        trial.write_bytes(b"x" * 4096)
        trial.unlink()
    except OSError as error:
        return Finding("fault", f"{place} cannot be written ({error.strerror}); {name} leads elsewhere")
    return Finding("ok", f"{place.absolute()}{'' if place.is_dir() else ', made by the first run'}")


def disk(place: Path, name: str) -> Finding:
    """The space that is free there. name: what leads to another place."""
    free = shutil.disk_usage(_existing(place)).free
    text = f"{free / 1e9:.1f} GB free"
    if free < VERY_LITTLE:
        return Finding("fault", f"{text}: too little; make room, or {name} leads elsewhere")
    if free < LITTLE:
        return Finding("note", f"{text}: enough for the embedded suite; ROBUSTPROMPT_CACHE_GB limits the cache")
    return Finding("ok", text)


def locks(place: Path) -> Finding:
    """Whether a second holder of a lock is kept out, which keeps two commands from doing one run twice."""
    from filelock import FileLock, Timeout

    file = _existing(place) / f".doctor-{os.getpid()}-{secrets.token_hex(4)}.lock"
    advice = "start one command at a time there, or take a folder on another file system"
    try:
        with FileLock(file, is_singleton=False):
            try:
                with FileLock(file, timeout=0, is_singleton=False):
                    return Finding("fault", f"locks let two in; {advice}")
            except Timeout:
                return Finding("ok", "a second command is kept out")
    except (OSError, NotImplementedError) as error:
        return Finding("note", f"locks cannot be had ({getattr(error, 'strerror', None) or error}); {advice}")
    finally:
        file.unlink(missing_ok=True)


def _existing(place: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    place = place.absolute()
    return next((folder for folder in (place, *place.parents) if folder.is_dir()), Path("/"))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _install(what: str) -> str:
    pip = f"{sys.executable} -m pip install -r requirements.txt"
    return f"{what}; run `bash scripts/setup.sh`, which makes .venv, or `{pip}`"
