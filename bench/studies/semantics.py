"""Compares the relations among classes under learned and hand-written prompts: heat maps and their divergence.

python -m bench.semantics RUN_FOLDER [RUN_FOLDER ...] --plot semantics.png

For each trained run it computes the similarity distributions of the hand-written and the learned prompts over all
classes of the dataset, as in Fig. 1 of the SAR paper (Eq. 3: row i is the softmax over the other classes of their
cosine similarity to class i, at CLIP's temperature), and the mean KL divergence of rows, for base and new classes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from yacs.config import CfgNode

from clipkit import normalize
from dassl.data.datasets import build_dataset
from dassl.utils import InputError, atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from datasets.reading.catalog import quiet
from datasets.templates import SELECTED, custom_template
from interop.plugins.loading import load_plugins
from language import read_classlist
from runs.predictor import load_predictor
from runs.trained_run import read_run
from trainers.parts.similarity_alignment import similarity_distribution

from ..running.trouble import check_output, writing

HEADERS = ["run", "mean KL", "of base classes", "of new classes"]


@dataclass
class Semantics:
    """The similarity distributions of one run.

    names: of the classes, of which the first n_base are base classes. hand, learned: [C, C], of the hand-written and
    learned prompts (Eq. 3).
    """

    label: str
    names: list[str]
    n_base: int
    hand: Tensor
    learned: Tensor

    def divergence(self) -> Tensor:
        """[C]: KL(P_i || P~_i) of each row."""
        p, q = self.hand, self.learned
        return torch.where(p > 0, p * (p.clamp_min(1e-30).log() - q.clamp_min(1e-30).log()), 0.0).sum(1)

    def row(self) -> list:
        kl = self.divergence()
        new = kl[self.n_base :]
        cells = [kl.mean(), kl[: self.n_base].mean(), new.mean() if len(new) else None]
        return [self.label, *("-" if x is None else f"{x:.4f}" for x in cells)]


@torch.no_grad()
def read_semantics(folder: str | Path, new_names: list[str] | None = None, ensemble: bool = False) -> Semantics:
    """The similarity distributions of a trained run. new_names: unseen classes; default: those of its dataset.

    ensemble: the hand-written prompts are the mean over 8 templates instead of the dataset's own. Raises InputError for
    a folder without a trained run, and for a method whose text features depend on the image (CoCoOp).
    """
    run = read_run(folder)
    base = run.classnames().names
    names = [*base, *(n for n in (new_names if new_names is not None else _all_names(run.cfg)) if n not in base)]
    predictor = load_predictor(folder, names)
    trainer = predictor.trainer
    try:
        learned = trainer.encode_text()
    except NotImplementedError:
        name = predictor.cfg.TRAINER.NAME
        raise InputError(
            f"{folder}: the text features of {name} depend on the image, so they have no one map."
        ) from None
    own = custom_template(predictor.cfg.DATASET.NAME, "sar")
    templates = [*SELECTED, own] if ensemble else [own]
    texts = [template.format(name) for template in templates for name in trainer.classnames]
    hand = normalize(trainer.frozen_text(texts).view(len(templates), len(names), -1).mean(0))
    tau = (1 / trainer.logit_scale).item()
    label = f"{predictor.cfg.TRAINER.NAME}, seed {predictor.cfg.SEED}"
    if predictor.cfg.TRAINER.SAR.ENABLED:
        label += f", λ = {predictor.cfg.TRAINER.SAR.LAMBDA:g}"
    distributions = [similarity_distribution(e.float().cpu(), tau) for e in (hand, learned)]
    return Semantics(label, names, len(base), *distributions)


def _all_names(cfg: CfgNode) -> list[str]:
    """Every class of the run's dataset."""
    whole = cfg.clone()
    whole.DATASET.SUBSAMPLE_CLASSES, whole.DATASET.NUM_SHOTS = "all", 1
    return list(build_dataset(whole).classnames)


def plot(found: list[Semantics], file: Path) -> None:
    """Draw a heat map of the first run's hand-written prompts and one of each run's learned prompts.

    Lines separate base from new classes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = [("hand-written prompts", found[0].hand, found[0])]
    panels += [(f"{s.label}\nmean KL {s.divergence().mean():.3f}", s.learned, s) for s in found]
    count = len(found[0].names)
    side = max(3.2, min(7.0, 0.16 * count + 1.6))
    figure, axes = plt.subplots(1, len(panels), figsize=(side * len(panels) + 1.2, side + 1.2), layout="constrained")
    top = max(float(matrix.max()) for _, matrix, _ in panels)
    for ax, (title, matrix, s) in zip(axes, panels, strict=True):
        image = ax.imshow(matrix.numpy(), cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        ax.set_title(title, fontsize=9)
        edge, size = s.n_base - 0.5, len(s.names)
        if s.n_base < size:
            ax.axhline(edge, color="white", linewidth=1)
            ax.axvline(edge, color="white", linewidth=1)
        if size <= 40:
            ax.set_xticks(range(size), s.names, rotation=90, fontsize=6)
            ax.set_yticks(range(size), s.names if ax is axes[0] else [""] * size, fontsize=6)
        else:
            ax.set_xticks([s.n_base / 2, (s.n_base + size) / 2], ["base", "new"])
            ax.set_yticks([s.n_base / 2, (s.n_base + size) / 2], ["base", "new"])
        ax.set_xlabel("base classes | new classes", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8, label="similarity distribution (rows sum to 1)")
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:] or "png")
    plt.close(figure)


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.semantics", description=__doc__, formatter_class=Screen)
    parser.add_argument("folders", nargs="+", help="--output-dir of trained runs on one dataset")
    parser.add_argument(
        "--new-classes", default="", metavar="FILE", help="unseen names, one a line; else the dataset's"
    )
    parser.add_argument("--ensemble", action="store_true", help="hand-written prompts: the mean over 8 templates")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="file for the heat maps (PNG, PDF or SVG)")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a trainer file from outside")
    args = parser.parse_args(argv)
    check_output(args.plot, "--plot", picture=True)
    load_plugins(args.plugin)
    new = read_classlist(args.new_classes) if args.new_classes else None
    with quiet():
        found = [read_semantics(folder, new, args.ensemble) for folder in args.folders]
    if len({tuple(s.names) for s in found}) > 1:
        raise InputError("The runs have different classes; compare runs of one dataset.")
    print(tabulate([s.row() for s in found], HEADERS, disable_numparse=True))  # noqa: T201
    if args.plot:
        with writing(args.plot, "--plot"):
            plot(found, args.plot)
    return 0
