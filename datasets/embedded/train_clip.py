"""Train the embedded CLIP on rendered pairs: `python -m datasets.embedded.train_clip --help`.

The recipe: symmetric contrastive loss over a batch, where a caption that happens to be true of another image is left
out of that image's negatives; throw-away heads on the image feature for noun, colour and pattern; Muon for matrices and
AdamW for the rest; a logit scale that follows a schedule up to CLIP's 100; half of the patches until late in the run.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from clip.clip import _tokenizer as bpe
from safetensors.torch import save_file

from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence

from .captions import Captioner, load_descriptions
from .clip_trainer import ARCHITECTURE, Recipe, Trainer
from .resume import NAME, load_checkpoint, save_checkpoint

logger = logging.getLogger("datasets.embedded.train_clip")


class Journal:
    """Averages the parts of the loss: a log line every 20 seconds, an entry of `history` each tenth of the run."""

    def __init__(self) -> None:
        self.started = self._last = time.monotonic()
        self.before = 0.0  # minutes spent before the run was stopped
        self.history: list[dict[str, float]] = []
        self._recent: list[dict[str, float]] = []
        self._tenth: list[dict[str, float]] = []

    def minutes(self) -> float:
        return self.before + (time.monotonic() - self.started) / 60

    def state(self) -> dict:
        """What a continued run needs to write the same history."""
        return {"minutes": self.minutes(), "history": self.history, "tenth": self._tenth}

    def restore(self, state: dict) -> None:
        self.before, self.history, self._tenth = state["minutes"], state["history"], state["tenth"]

    def add(self, parts: dict[str, float], images: int, progress: float) -> None:
        self._recent.append(parts)
        self._tenth.append(parts)
        finished = progress >= 1
        if time.monotonic() - self._last > 20 or finished:
            means = " ".join(f"{k} {v:.3f}" for k, v in _means(self._recent).items())
            rate = images / (60 * self.minutes())
            line = "%5.1f min  %8d images  %4.0f/s  %5.1f%%  %s"
            logger.info(line, self.minutes(), images, rate, 100 * progress, means)
            self._recent, self._last = [], time.monotonic()
        if progress * 10 >= len(self.history) + 1 or (finished and self._tenth):
            when = {"images": images, "minutes": round(self.minutes(), 1), "progress": round(progress, 3)}
            self.history.append({**when, **_means(self._tenth)})
            self._tenth = []


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(sum(row[key] for row in rows) / len(rows), 4) for key in rows[0]}


def save(trainer: Trainer, folder: Path, journal: Journal) -> None:
    """Write clip.safetensors, trained_tokens.json and training.json into folder, each under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "recipe": asdict(trainer.recipe), "architecture": ARCHITECTURE, "images": trainer.images_done,
        "minutes": round(journal.minutes(), 1), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "matrix_products": str(trainer.dtype).removeprefix("torch."),
        "history": journal.history,
    }  # fmt: skip
    words = {str(i): bpe.decoder[i] for i in trainer.trained_ids()}
    partial = folder / f".clip.safetensors.{os.getpid()}"
    statements = {"architecture": json.dumps(ARCHITECTURE), "clip_structure": "openai"}
    save_file(trainer.clip_state(), partial, metadata=statements)
    os.replace(partial, folder / "clip.safetensors")
    for name, content in (("trained_tokens.json", words), ("training.json", facts)):
        partial = folder / f".{name}.{os.getpid()}"
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, folder / name)


def train(recipe: Recipe, out: Path, minutes: float = 0.0, save_minutes: float = 5.0, stop_after: int = 0) -> Trainer:
    """Train and save into `out`; a run that was stopped there is continued.

    minutes: above 0, a slow machine's schedule is shortened to end in time. stop_after: stop after so many steps, as an
    interruption would (for tests).
    """
    trainer = Trainer(recipe, Captioner(load_descriptions()))
    journal = Journal()
    progress, pace = 0.0, 0.0  # pace: seconds per step, a moving average
    checkpoint = out / NAME
    if checkpoint.exists():
        account = load_checkpoint(checkpoint, trainer)
        progress, pace = account["progress"], account["pace"]
        journal.restore(account["journal"])
        logger.info("Continued from %s after %d images", checkpoint, trainer.images_done)
    out.mkdir(parents=True, exist_ok=True)

    def keep() -> None:
        save_checkpoint(checkpoint, trainer, {"progress": progress, "pace": pace, "journal": journal.state()})

    saved, steps = time.monotonic(), 0
    while progress < 1:
        tick = time.monotonic()
        parts = trainer.step(progress)
        spent = time.monotonic() - tick
        pace = 0.98 * pace + 0.02 * spent if pace else spent
        advance = recipe.batch / recipe.images
        if minutes:
            left = max(1e-3, minutes - journal.minutes())
            advance = max(advance, (1 - progress) * min(1.0, pace / 60 / left))
        progress += advance
        journal.add(parts, trainer.images_done, progress)
        steps += 1
        if steps == stop_after:
            keep()
            return trainer
        if time.monotonic() - saved > 60 * save_minutes:
            keep()
            saved = time.monotonic()
    save(trainer, out, journal)
    checkpoint.unlink(missing_ok=True)
    return trainer


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the embedded CLIP on rendered image-caption pairs (CPU).")
    default = Path(__file__).resolve().parents[2] / "clipkit" / "embedded"
    parser.add_argument("--out", type=Path, default=default, help="folder for clip.safetensors and its JSON files")
    parser.add_argument("--images", type=int, default=Recipe.images, help="budget in images; the schedule follows it")
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--minutes", type=float, default=0.0, help="shorten the schedule to end after this long")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="time between intermediate checkpoints")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other settings of the recipe")
    parser.add_argument("--smoke", action="store_true", help="a run of seconds, to see that everything works")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(args.threads)
    recipe = Recipe(images=args.images, batch=args.batch, seed=args.seed)
    if args.smoke:
        recipe.images, recipe.batch = 960, 80
    for pair in args.set:
        key, value = pair.split("=", 1)
        setattr(recipe, key, type(getattr(Recipe, key))(float(value)))
    train(recipe, args.out, args.minutes, args.save_minutes)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
