"""Mean and spread of a result over seeds, read from the log.txt files below a folder. The flags are CoOp's.

python parse_test_res.py output/base2new/train_base/digits/shots_16/CoOp/embedded            # base, from training logs
python parse_test_res.py output/base2new/test_new/digits/shots_16/CoOp/embedded --test-log   # new, from test logs

The spread is CoOp's: the population standard deviation, and with --ci95 1.96 of it divided by the root of the number of
runs. All tables of `bench` have the sample standard deviation, and Student's interval.
Logs have one decimal. If a run has a results.json beside its log, `--exact` reads the unrounded number from it. No mean
is computed of runs whose results.json or config.yaml differ in more than the seed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
from pathlib import Path

from dassl.utils.counted import counted
from dassl.utils.screen import Screen

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def read_log(file: Path, end_signal: str, keyword: str) -> float | None:
    """The number of the last `* keyword: number%` after the end signal; None if the log has none (an unfinished run).

    Raises ValueError if it is no percentage, and OSError.
    """
    pattern = re.compile(rf"\* {re.escape(keyword)}: (\S*)%")
    armed, value = False, None
    for line in file.read_text(errors="replace").splitlines():
        armed = armed or line.strip() == end_signal
        if armed and (match := pattern.search(line)):
            text = match.group(1)
            value = percentage(float(text) if NUMBER.fullmatch(text) else text, keyword)
    return value


def percentage(value: object, keyword: str) -> float:
    """The value as a float. Raises ValueError unless it is a number from 0 to 100."""
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 100:
        raise ValueError(f"{keyword} is {str(value)[:40]!r}, not a number from 0 to 100")
    return float(number)


def read_results(file: Path, keyword: str) -> float | None:
    """The unrounded number of a results.json; None if the run tested nothing, or has no such metric.

    Raises ValueError for a file that is no run's, and OSError.
    """
    try:
        record = json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(record, dict) or "results" not in record:
        raise ValueError("it is not the record of a run")
    results = record["results"] or {}
    if not isinstance(results, dict):
        raise ValueError(f"its results are {str(results)[:40]!r}")
    return percentage(results[keyword], keyword) if keyword in results else None


def read_run(folder: Path, end_signal: str, keyword: str, exact: bool) -> float | None:
    """One run's number: from results.json (`exact`), else from its log. Raises ValueError, naming a damaged file."""
    file = folder / "results.json"
    try:
        if exact and file.is_file():
            value = read_results(file, keyword)
            if value is not None:
                return value
        file = folder / "log.txt"
        return read_log(file, end_signal, keyword) if file.is_file() else None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({getattr(error, 'strerror', None) or error})") from None


def parse_folder(directory: Path, args: argparse.Namespace, damaged: list[str]) -> float | None:
    """Prints the number of each run below `directory`, then mean and spread. Returns the mean.

    A run with a damaged file is left out, and its sentence is appended to `damaged`.
    """
    end_signal = "=> result" if args.test_log else "Finish training"
    print(f"Parsing files in {directory}")  # noqa: T201
    values, before, read = [], len(damaged), []
    for folder in sorted(p for p in directory.iterdir() if p.is_dir()):
        try:
            value = read_run(folder, end_signal, args.keyword, args.exact)
        except ValueError as error:
            damaged.append(str(error))
            print(f"{error}, left out")  # noqa: T201
            continue
        if value is None:
            print(f"{folder}: no finished result, left out")  # noqa: T201
            continue
        print(f"file: {folder / 'log.txt'}. {args.keyword}: {value:.2f}%")  # noqa: T201
        values.append(value)
        read.append(folder)
    if not values:
        return None
    if why := difference(read):
        damaged.append(f"the mean of {directory}: its runs differ in more than the seed, {why}")
        return None
    mean, spread = statistics.fmean(values), statistics.pstdev(values)
    if args.ci95:
        spread = 1.96 * spread / math.sqrt(len(values))
    out = len(damaged) - before
    of = f" (of {counted(len(values), 'run')}, {out} damaged left out)" if out else ""
    print(f"===\nSummary of directory: {directory}\n* {args.keyword}: {mean:.2f}% +- {spread:.2f}%{of}\n===")  # noqa: T201
    return mean


def difference(folders: list[Path]) -> str:
    """The settings other than the seed in which the runs differ, in words; "" if there are none."""
    from bench.reading.accounts import account  # imported here, so that --help is fast
    from bench.reading.apart import mixed
    from bench.reading.files import DAMAGE, open_record

    accounts = []
    for file in (folder / "results.json" for folder in folders):
        try:
            accounts.append(account(file, *open_record(file)))
        except DAMAGE:  # missing or damaged: only the config is compared
            accounts.append(account(file, {}, b""))
    return mixed(accounts)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("directory", type=Path, help="folder whose sub-folders are runs")
    parser.add_argument("--ci95", action="store_true", help="95 %% interval in place of the deviation")
    parser.add_argument("--test-log", action="store_true", help="read logs of tests (--eval-only)")
    parser.add_argument("--multi-exp", action="store_true", help="each sub-folder is an experiment with runs below it")
    parser.add_argument("--keyword", default="accuracy", help="which metric")
    parser.add_argument("--exact", action="store_true", help="unrounded numbers from results.json where there are any")
    args = parser.parse_args(argv)
    if not os.path.isdir(args.directory):
        print(f"error: there is no folder {args.directory}.", file=sys.stderr)  # noqa: T201
        return 2
    damaged: list[str] = []
    try:
        folders = sorted(p for p in args.directory.iterdir() if p.is_dir()) if args.multi_exp else [args.directory]
        means = [m for m in (parse_folder(folder, args, damaged) for folder in folders) if m is not None]
    except OSError as error:
        print(f"error: {error.filename} cannot be listed ({error.strerror}).", file=sys.stderr)  # noqa: T201
        return 2
    if means and args.multi_exp:
        print(f"Average performance over {counted(len(means), 'experiment')}: {statistics.fmean(means):.2f}%")  # noqa: T201
    for sentence in damaged:
        print(f"left out: {sentence}; remove what is wrong, or repeat the run.", file=sys.stderr)  # noqa: T201
    if not means and damaged:
        print(f"error: no whole result below {args.directory}.", file=sys.stderr)  # noqa: T201
        return 2
    if not means:
        hint = "" if args.test_log else "; for --eval-only runs give --test-log"
        print(f"error: no finished run below {args.directory}{hint}.", file=sys.stderr)  # noqa: T201
        return 2
    return 1 if damaged else 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show comes out as an escape
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
