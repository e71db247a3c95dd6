"""Mean and spread of a result over seeds, read from the log.txt files below a folder. The flags are CoOp's.

python parse_test_res.py output/base2new/train_base/digits/shots_16/CoOp/embedded            # base, from training logs
python parse_test_res.py output/base2new/test_new/digits/shots_16/CoOp/embedded --test-log   # new, from test logs

Logs carry one decimal. Where a run has a results.json beside its log, `--exact` reads the unrounded number there.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from pathlib import Path


def read_log(file: Path, end_signal: str, keyword: str) -> float | None:
    """The last `* keyword: number%` after the end signal; None if the run has not come that far."""
    pattern = re.compile(rf"\* {re.escape(keyword)}: ([\.\deE+-]+)%")
    armed, value = False, None
    for line in file.read_text(errors="replace").splitlines():
        armed = armed or line.strip() == end_signal
        match = pattern.search(line) if armed else None
        if match:
            value = float(match.group(1))
    return value


def read_run(folder: Path, end_signal: str, keyword: str, exact: bool) -> float | None:
    """One run's number: from results.json (`exact`), else from its log."""
    if exact and (folder / "results.json").is_file():
        results = json.loads((folder / "results.json").read_text())["results"] or {}
        if keyword in results:
            return float(results[keyword])
    return read_log(folder / "log.txt", end_signal, keyword) if (folder / "log.txt").is_file() else None


def parse_folder(directory: Path, args: argparse.Namespace) -> float | None:
    """Prints the number of each run below `directory`, then mean and spread. Returns the mean."""
    end_signal = "=> result" if args.test_log else "Finish training"
    print(f"Parsing files in {directory}")  # noqa: T201
    values = []
    for folder in sorted(p for p in directory.iterdir() if p.is_dir()):
        value = read_run(folder, end_signal, args.keyword, args.exact)
        if value is None:
            print(f"{folder}: no finished result, left out")  # noqa: T201
            continue
        print(f"file: {folder / 'log.txt'}. {args.keyword}: {value:.2f}%")  # noqa: T201
        values.append(value)
    if not values:
        return None
    mean, spread = statistics.fmean(values), statistics.pstdev(values)
    if args.ci95:
        spread = 1.96 * spread / math.sqrt(len(values))
    print(f"===\nSummary of directory: {directory}\n* {args.keyword}: {mean:.2f}% +- {spread:.2f}%\n===")  # noqa: T201
    return mean


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="folder whose sub-folders are runs")
    parser.add_argument("--ci95", action="store_true", help="95 %% interval in place of the deviation")
    parser.add_argument("--test-log", action="store_true", help="read logs of tests (--eval-only)")
    parser.add_argument("--multi-exp", action="store_true", help="each sub-folder is an experiment with runs below it")
    parser.add_argument("--keyword", default="accuracy", help="which metric")
    parser.add_argument("--exact", action="store_true", help="unrounded numbers from results.json where there are any")
    args = parser.parse_args(argv)
    if not args.directory.is_dir():
        print(f"error: there is no folder {args.directory}.", file=sys.stderr)  # noqa: T201
        return 2
    if args.multi_exp:
        experiments = sorted(p for p in args.directory.iterdir() if p.is_dir())
        means = [m for m in (parse_folder(folder, args) for folder in experiments) if m is not None]
        if means:
            print(f"Average performance over {len(means)} experiments: {statistics.fmean(means):.2f}%")  # noqa: T201
    else:
        means = [m for m in [parse_folder(args.directory, args)] if m is not None]
    if not means:
        hint = "" if args.test_log else "; for --eval-only runs give --test-log"
        print(f"error: no finished run below {args.directory}{hint}.", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
