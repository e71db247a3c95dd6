"""Third stage of the embedded CLIP's training: `python -m datasets.embedded.train_photos --help`.

Takes the weights of the second stage (train_text.py) and lets the image tower and new words learn from photographs
(photo_trainer.py). The photographs are Caltech101's training images without every fourth class, and CIFAR-10's training
images where they are; neither lies in the project.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch
from safetensors.torch import safe_open

from clipkit import load_clip
from clipkit.compact_rows import IDS
from dassl.utils import InputError
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence

from .photo_data import load_photos
from .photo_trainer import PhotoRecipe, PhotoTrainer
from .stage import add_options, advance, finish, set_values


def trained_ids(source: Path) -> list[int]:
    """Ids of the tokens whose rows a file holds. Raises InputError for a file that holds all rows."""
    if not source.is_file():
        raise InputError(f"There is no file {source} (--weights).")
    with safe_open(source, "pt") as file:
        if IDS not in file.keys():  # noqa: SIM118  # no mapping
            raise InputError(f"{source} holds the rows of all tokens: give clip.safetensors of train_text (--weights)")
        return file.get_tensor(IDS).tolist()


def train(
    source: Path, root: Path, recipe: PhotoRecipe, out: Path, save_minutes: float = 5.0, stop_after: int = 0
) -> PhotoTrainer:
    """Train from the weights in `source` on the photographs below `root` and save into `out`; a run that was stopped
    there is continued.

    stop_after: stop after so many steps, as an interruption would (for tests).
    """
    known, photos = trained_ids(source), load_photos(root)
    trainer = PhotoTrainer(load_clip("", str(source)), known, photos, recipe)
    account = advance(trainer, out, save_minutes, stop_after)
    if account:
        history, minutes = account
        data = {"photographs": len(photos.labels), "left_out": list(photos.left_out)}
        finish(trainer, source, out, "photos", {"minutes": round(minutes, 1), **data, "history": history})
    return trainer


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Let the embedded CLIP learn from photographs, and forget nothing.")
    parser.add_argument("--weights", type=Path, required=True, help="clip.safetensors of train_text")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of caltech-101 and, if wanted, cifar10")
    add_options(parser, PhotoRecipe.steps, PhotoRecipe.seed)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(args.threads)
    recipe = PhotoRecipe(steps=args.steps, seed=args.seed)
    if args.smoke:
        recipe = PhotoRecipe(steps=4, photos=16, scenes=16, bank=64, pool=8, seed=args.seed)
    set_values(recipe, args.set)
    train(args.weights, args.root, recipe, args.out, args.save_minutes)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
