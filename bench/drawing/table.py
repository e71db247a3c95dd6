"""Makes the table Base / New / HM from the results under a folder: on the terminal, as Markdown, and as a plot.

python -m bench.table output/demo --markdown table.md --plot table.png

HM is the harmonic mean of the two means over seeds, as usual in papers; ± is the sample standard deviation over seeds,
or with --interval half the width of the mean's 95 % interval. All three use the seeds that have base and new. Runs that
differ in more than the seed have rows of their own, named after the differing settings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pandas import DataFrame
from tabulate import tabulate

from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from dassl.utils.spread import deviation, mean, shown, words

from ..reading.collect import collect
from ..reading.files import no_results, write_text
from ..running.trouble import check_output
from .collapse import caption as fallen
from .results import Result, results

Accuracies = dict[tuple[str, str], dict[str, list[float]]]  # (dataset, method) -> {"base": [...], "new": [...]}


def harmonic_mean(base: float, new: float) -> float:
    """The harmonic mean 2BN / (B + N); 0 if both are 0."""
    return 2 * base * new / (base + new) if base + new else 0.0


BySeed = dict[tuple[str, str, int, str], float]  # {(dataset, method, seed, "base" or "new"): accuracy}


def by_seed(found: Iterable[Result]) -> BySeed:
    return {(r.name, r.method, r.seed, r.kind): r.accuracy for r in found if r.protocol == "base2new"}


def accuracies(frame: DataFrame, remarks: list[str]) -> Accuracies:
    """The accuracies of base-to-new in the rows of `collect`, in lists over ascending seeds (see `gather`).

    A sentence for each seed that is left out is appended to `remarks`.
    """
    found = by_seed(results(frame))
    remarks += unpaired(found)
    return gather(found)


def gather(found: BySeed) -> Accuracies:
    """Lists of accuracies over the seeds that have base and new; if only one half has results, over its seeds."""
    gathered: Accuracies = {}
    for key, parts in _halves(found).items():
        seeds = [seed for seed in parts["base"] if seed in parts["new"]]
        if seeds or not (parts["base"] and parts["new"]):
            gathered[key] = {part: [own[s] for s in seeds or own] for part, own in parts.items()}
    return gathered


def unpaired(found: BySeed) -> list[str]:
    """A sentence for each dataset and method with seeds that have only base or only new."""
    said = []
    for (dataset, method), parts in _halves(found).items():
        for part, other in (("base", "new"), ("new", "base")):
            alone = [str(seed) for seed in parts[part] if seed not in parts[other]]
            if alone:
                seeds = f"seed{'s' * (len(alone) > 1)} {', '.join(alone)}"
                said.append(f"{method} on {dataset}: {seeds} left out, with {part} classes but no {other} ones.")
    return said


def _halves(found: BySeed) -> dict[tuple[str, str], dict[str, dict[int, float]]]:
    halves: dict[tuple[str, str], dict[str, dict[int, float]]] = defaultdict(lambda: {"base": {}, "new": {}})
    for (dataset, method, seed, part), accuracy in found.items():
        halves[dataset, method][part][seed] = accuracy
    return dict(halves)


def rows(found: Accuracies, interval: bool = False) -> list[list[str]]:
    """A row for each dataset and method, then each method's mean over datasets if it has several.

    interval: ± is half the width of the 95 % interval instead of the deviation.
    """
    lines, means = [], defaultdict(list)
    for (dataset, method), parts in found.items():
        if not (parts["base"] and parts["new"]):
            continue
        base, new = mean(parts["base"]), mean(parts["new"])
        means[method].append((base, new))
        seeds = str(len(parts["base"]))
        hm = f"{harmonic_mean(base, new):.2f}"
        cells = [shown(parts[part], interval=interval) for part in ("base", "new")]
        lines.append([dataset, method, *cells, hm, seeds])
    for method, pairs in means.items():
        if len(pairs) > 1:
            base, new = (mean(column) for column in zip(*pairs, strict=True))
            average = f"average of {len(pairs)}"
            lines.append([average, method, shown([base]), shown([new]), f"{harmonic_mean(base, new):.2f}", ""])
    return lines


HEADERS = ["dataset", "method", "Base", "New", "HM", "seeds"]


def caption(interval: bool = False) -> str:
    return f"Accuracy in %, mean over seeds; ± is {words(interval)}. HM: the harmonic mean of the two means."


def plot(found: Accuracies, file: Path) -> None:
    """Draw bars of HM with marks for base and new, in a group for each dataset."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    datasets = list(dict.fromkeys(d for d, _ in found))
    methods = list(dict.fromkeys(m for _, m in found))
    width = 0.8 / len(methods)
    figure, axes = plt.subplots(figsize=(max(6.4, 1.2 + 1.6 * len(datasets)), 3.6), layout="constrained")
    for i, method in enumerate(methods):
        for j, dataset in enumerate(datasets):
            parts = found.get((dataset, method))
            if not parts or not (parts["base"] and parts["new"]):
                continue
            x = j + (i - (len(methods) - 1) / 2) * width
            base, new = statistics.fmean(parts["base"]), statistics.fmean(parts["new"])
            label = method if j == 0 else None
            axes.bar(x, harmonic_mean(base, new), 0.9 * width, color=f"C{i}", alpha=0.75, label=label)
            for part, marker in (("base", "^"), ("new", "v")):
                mean, spread = statistics.fmean(parts[part]), deviation(parts[part])
                axes.errorbar(x, mean, spread, color="black", marker=marker, markersize=4, linewidth=1, capsize=2)
    for marker, what in (("^", "base classes"), ("v", "new classes")):
        axes.plot([], [], marker, color="black", markersize=4, label=f"{what}, ± one sample standard deviation")
    axes.set_xticks(range(len(datasets)), datasets)
    axes.set_ylabel("accuracy, %; bars: harmonic mean")
    axes.set_ylim(0, 100)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    plt.close(figure)


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    """Print the table, and remarks to stderr. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError for wrong options, and if there is no result.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the OUTPUT folder of the runs")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--plot", type=Path, help="also draw a plot to this file (PNG, PDF or SVG)")
    parser.add_argument("--interval", action="store_true", help="± is half the mean's 95 %% interval (Student's t)")
    args = parser.parse_args(argv)
    if not os.path.isdir(args.folder):
        raise InputError(f"there is no folder {args.folder}; give the OUTPUT folder of the runs.")
    check_output(args.markdown, "--markdown")
    check_output(args.plot, "--plot", picture=True)
    broken: list[str] = []
    remarks: list[str] = []
    frame = collect(args.folder, broken, remarks)
    found = accuracies(frame, remarks)
    lines = rows(found, args.interval)
    if not lines:
        raise no_results(args.folder, *broken, *remarks, what="base-to-new runs with both halves")
    several = any(len(parts["base"]) > 1 for parts in found.values())
    fell = fallen(frame[frame["protocol"] == "base2new"])
    note = "\n\n".join(filter(None, ["", caption(args.interval) if several else "", fell]))
    print(f"\n{tabulate(lines, HEADERS, disable_numparse=True)}{note}")  # noqa: T201
    for sentence in (*broken, *remarks):
        print(sentence, file=sys.stderr)  # noqa: T201
    if args.markdown:
        text = tabulate(lines, HEADERS, tablefmt="github", disable_numparse=True)
        write_text(args.markdown, "\n\n".join(filter(None, [text, caption(args.interval), fell])) + "\n")
    if args.plot:
        plot(found, args.plot)
    return 1 if broken else 0
