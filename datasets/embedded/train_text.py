"""Second stage of the embedded CLIP's training: `python -m datasets.embedded.train_text --help`.

Takes the weights of the first stage (train_clip.py), leaves the image tower as it is and trains the text tower to keep
class names apart behind learned contexts (text_trainer.py).
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

from clipkit import load_clip
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence

from .captions import Captioner, load_descriptions
from .stage import add_options, advance, finish, set_values
from .text_trainer import TextRecipe, TextTrainer


def train(source: Path, recipe: TextRecipe, out: Path, save_minutes: float = 5.0, stop_after: int = 0) -> TextTrainer:
    """Train from the weights in `source` and save into `out`; a run that was stopped there is continued.

    stop_after: stop after so many steps, as an interruption would (for tests).
    """
    trainer = TextTrainer(load_clip("", str(source)), recipe, Captioner(load_descriptions()))
    account = advance(trainer, out, save_minutes, stop_after)
    if account:
        history, minutes = account
        facts = {"minutes": round(minutes, 1), "scale_of_rows": trainer.factor, "history": history}
        finish(trainer, source, out, "text", facts)
    return trainer


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the text tower of the embedded CLIP behind learned contexts.")
    parser.add_argument("--weights", type=Path, required=True, help="clip.safetensors of train_clip")
    parser.add_argument("--images", type=int, default=TextRecipe.images, help="rendered images to learn from")
    add_options(parser, TextRecipe.steps, TextRecipe.seed)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(args.threads)
    recipe = TextRecipe(steps=args.steps, images=args.images, seed=args.seed)
    if args.smoke:
        recipe = TextRecipe(steps=4, images=256, captions=16, views=32, seed=args.seed)
    set_values(recipe, args.set)
    train(args.weights, recipe, args.out, args.save_minutes)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
