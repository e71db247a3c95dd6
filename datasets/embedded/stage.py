"""What the later stages of the embedded CLIP's training share: a loop that can be stopped, and the files at its end."""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from clip.clip import _tokenizer as bpe
from safetensors.torch import save_file
from torch import Tensor

from clipkit.compact_rows import compact
from clipkit.files import atomic_path
from dassl.utils import InputError

from .clip_trainer import ARCHITECTURE
from .resume import NAME, Resumable, load_checkpoint, save_checkpoint

logger = logging.getLogger("datasets.embedded.stage")


class Stage(Resumable, Protocol):
    """A trainer whose recipe has a number of steps; `ids` are the tokens whose rows it has trained."""

    ids: list[int]

    def step(self, progress: float) -> dict[str, float]: ...

    def clip_state(self) -> dict[str, Tensor]: ...


def advance(trainer: Stage, out: Path, save_minutes: float, stop_after: int) -> tuple[list[dict], float] | None:
    """All steps, or those that are left of a run that was stopped in `out`; returns its history and minutes.

    stop_after: stop after so many steps, as an interruption would (for tests); then the result is None.
    """
    started = saved = time.monotonic()
    steps = trainer.recipe.steps
    done, before, history, recent = 0, 0.0, [], []
    checkpoint = out / NAME
    if checkpoint.exists():
        account = load_checkpoint(checkpoint, trainer)
        done, before, history, recent = (account[key] for key in ("done", "minutes", "history", "recent"))
        logger.info("Continued from %s after %d steps", checkpoint, done)
    out.mkdir(parents=True, exist_ok=True)
    first = done

    def minutes() -> float:
        return before + (time.monotonic() - started) / 60

    while done < steps:
        recent.append(trainer.step(done / steps))
        done += 1
        if done % max(1, steps // 20) == 0 or done == steps:
            means = {key: round(sum(row[key] for row in recent) / len(recent), 4) for key in recent[0]}
            history.append({"step": done, **means})
            logger.info("%5.1f min  %5d of %d steps  %s", minutes(), done, steps, means)
            recent = []
        stop = done - first == stop_after
        if stop or time.monotonic() - saved > 60 * save_minutes:
            account = {"done": done, "minutes": minutes(), "history": history, "recent": recent}
            save_checkpoint(checkpoint, trainer, account)
            saved = time.monotonic()
        if stop:
            return None
    return history, minutes()


def finish(trainer: Stage, source: Path, out: Path, key: str, facts: dict[str, Any]) -> None:
    """Write clip.safetensors (trained token rows alone), trained_tokens.json and training.json into `out`.

    The JSON files are those beside `source` with what this stage adds: its words, and `facts` under `key`.
    """
    statements = {"architecture": json.dumps(ARCHITECTURE), "clip_structure": "openai"}
    with atomic_path(out / "clip.safetensors") as partial:
        save_file(compact(trainer.clip_state(), trainer.ids), partial, metadata=statements)
    settings = {"recipe": asdict(trainer.recipe), "threads": torch.get_num_threads(), "torch": torch.__version__}
    _write(out / "training.json", _read(source.parent / "training.json") | {key: settings | facts})
    words = _read(source.parent / "trained_tokens.json")
    new = getattr(trainer, "new", [])
    if words or new:
        ids = sorted({*(int(token) for token in words), *new})
        _write(out / "trained_tokens.json", {str(token): bpe.decoder[token] for token in ids})
    (out / NAME).unlink(missing_ok=True)


def _read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _write(file: Path, content: dict) -> None:
    with atomic_path(file) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def add_options(parser: argparse.ArgumentParser, steps: int, seed: int) -> None:
    """The options that the later stages share; steps and seed are the recipe's."""
    parser.add_argument("--out", type=Path, required=True, help="folder for clip.safetensors and its JSON files")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--save-minutes", type=float, default=5.0, help="time between checkpoints")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other settings of the recipe")
    parser.add_argument("--smoke", action="store_true", help="a run of seconds, to see that everything works")


def set_values(recipe: Any, pairs: list[str]) -> None:
    """Put KEY=VALUE settings into a recipe; raises InputError for a key that it lacks or a value that is no number."""
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not hasattr(recipe, key):
            raise InputError(f"--set {pair}: there is no setting {key!r}; there are {', '.join(asdict(recipe))}")
        try:
            setattr(recipe, key, type(getattr(recipe, key))(float(value)))
        except ValueError:
            raise InputError(f"--set {pair}: {value!r} is no number") from None
