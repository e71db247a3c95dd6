"""Second stage of the embedded CLIP's training: `python -m datasets.embedded.train_text --help`.

Takes the weights of the first stage (train_clip.py), leaves the image tower as it is and trains the text tower to keep
class names apart behind learned contexts (text_trainer.py).
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
from safetensors.torch import save_file

from clipkit import load_clip
from clipkit.compact_rows import compact
from clipkit.files import atomic_path
from dassl.utils import InputError
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence

from .captions import Captioner, load_descriptions
from .clip_trainer import ARCHITECTURE
from .resume import NAME, load_checkpoint, save_checkpoint
from .text_trainer import TextRecipe, TextTrainer

logger = logging.getLogger("datasets.embedded.train_text")


def save(trainer: TextTrainer, source: Path, folder: Path, history: list[dict], minutes: float) -> None:
    """Write clip.safetensors (trained token rows alone) into folder, and the first stage's JSON files with it."""
    folder.mkdir(parents=True, exist_ok=True)
    statements = {"architecture": json.dumps(ARCHITECTURE), "clip_structure": "openai"}
    with atomic_path(folder / "clip.safetensors") as partial:
        save_file(compact(trainer.clip_state(), trainer.ids), partial, metadata=statements)
    first = source.parent / "training.json"
    facts = json.loads(first.read_text(encoding="utf-8")) if first.exists() else {}
    facts["text"] = {
        "recipe": asdict(trainer.recipe), "minutes": round(minutes, 1), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "scale_of_rows": trainer.factor, "history": history,
    }  # fmt: skip
    with atomic_path(folder / "training.json") as partial:
        partial.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    words = source.parent / "trained_tokens.json"
    if words.exists() and words.parent != folder:
        with atomic_path(folder / words.name) as partial:
            partial.write_bytes(words.read_bytes())


def train(source: Path, recipe: TextRecipe, out: Path, save_minutes: float = 5.0, stop_after: int = 0) -> TextTrainer:
    """Train from the weights in `source` and save into `out`; a run that was stopped there is continued.

    stop_after: stop after so many steps, as an interruption would (for tests).
    """
    started = saved = time.monotonic()
    trainer = TextTrainer(load_clip("", str(source)), recipe, Captioner(load_descriptions()))
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

    while done < recipe.steps:
        recent.append(trainer.step(done / recipe.steps))
        done += 1
        if done % max(1, recipe.steps // 20) == 0 or done == recipe.steps:
            means = {key: round(sum(row[key] for row in recent) / len(recent), 3) for key in recent[0]}
            history.append({"step": done, **means})
            logger.info("%5.1f min  %5d of %d steps  %s", minutes(), done, recipe.steps, means)
            recent = []
        stop = done - first == stop_after
        if stop or time.monotonic() - saved > 60 * save_minutes:
            account = {"done": done, "minutes": minutes(), "history": history, "recent": recent}
            save_checkpoint(checkpoint, trainer, account)
            saved = time.monotonic()
        if stop:
            return trainer
    save(trainer, source, out, history, minutes())
    checkpoint.unlink(missing_ok=True)
    return trainer


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the text tower of the embedded CLIP behind learned contexts.")
    parser.add_argument("--weights", type=Path, required=True, help="clip.safetensors of train_clip")
    parser.add_argument("--out", type=Path, required=True, help="folder for clip.safetensors and its JSON files")
    parser.add_argument("--steps", type=int, default=TextRecipe.steps)
    parser.add_argument("--images", type=int, default=TextRecipe.images, help="rendered images to learn from")
    parser.add_argument("--seed", type=int, default=TextRecipe.seed)
    parser.add_argument("--save-minutes", type=float, default=5.0, help="time between checkpoints")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other settings of the recipe")
    parser.add_argument("--smoke", action="store_true", help="a run of seconds, to see that everything works")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(args.threads)
    recipe = TextRecipe(steps=args.steps, images=args.images, seed=args.seed)
    if args.smoke:
        recipe = TextRecipe(steps=4, images=256, captions=16, views=32, seed=args.seed)
    for pair in args.set:
        key, _, value = pair.partition("=")
        if not hasattr(recipe, key):
            raise InputError(f"--set {pair}: there is no setting {key!r}; there are {', '.join(asdict(recipe))}")
        setattr(recipe, key, type(getattr(TextRecipe, key))(float(value)))
    train(args.weights, recipe, args.out, args.save_minutes)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
