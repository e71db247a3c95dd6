"""Shows everything that must be seen on a GPU, in under ten minutes: one JSON file and one table.

python -m speed.gpu                                     # all sections; writes output/gpu.json and output/gpu.md
python -m speed.gpu --small --sections agree loader     # small sizes, on a CPU too: whether the script itself works

agree   two training steps and an answer of every method in each precision, beside fp32 on the CPU (embedded CLIP)
times   step and test pass beside the plain implementations (tests/plain), and their memory, 100 and 1000 classes
loader  images a second of the training loader beside those of the image tower in each precision
attack  the adaptive attack on R-TPT
suite   a suite without the bank of features, with it, and with several runs as one where `bench run` can

Each section is a process of its own with a time limit; what it has measured by then is kept. Exit code 1 if a section
fails, or a method's answers are apart from the CPU's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tabulate import tabulate

from clipkit.files import check_writable
from dassl.utils import atomic_path, write_json
from dassl.utils.ends import one_sentence
from runs.record import environment

from .gpu_agree import agree
from .gpu_runs import attack, suite
from .gpu_sizes import Row, Sizes
from .gpu_times import loader, times

# {name: (what yields its rows, seconds that it may take)}
SECTIONS: dict[str, tuple[Callable[[Sizes], Iterator[Row]], int]] = {
    "agree": (agree, 210),
    "times": (times, 180),
    "loader": (loader, 45),
    "attack": (attack, 60),
    "suite": (suite, 90),
}
ALONE = 900  # seconds of a section in small sizes, on a machine that has other work


def run_section(name: str, sizes: Sizes, limit: float) -> dict:
    """{"rows", "seconds", "complete", "error"} of a section in a process of its own, which is ended after `limit` s."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "rows", Path(folder) / "log"
        command = [sys.executable, "-m", "speed.gpu", "--rows", str(file), "--sections", name, *sizes.options()]
        with open(log, "w", encoding="utf-8") as output:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code: int | None = child.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                end(child)
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        error = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:] if code else ""
    rows = [json.loads(line) for line in lines]
    return {"rows": rows, "seconds": round(time.perf_counter() - started, 1), "complete": code == 0, "error": error}


def end(child: subprocess.Popen) -> None:
    """Ends a section and what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def write_rows(name: str, sizes: Sizes, file: Path) -> None:
    """What a section's process does: its rows, each a line of JSON as soon as it is measured."""
    with open(file, "a", encoding="utf-8") as output:
        for row in SECTIONS[name][0](sizes):
            print(json.dumps(row), file=output, flush=True)


def report(found: dict) -> str:
    """The tables of all sections as Markdown. Values are rounded to three digits."""
    parts = [f"{found['device']}{', small sizes' if found['small'] else ''}"]
    for name, section in found["sections"].items():
        state = "" if section["complete"] else ": failed" if section["error"] else ": stopped at its time limit"
        parts.append(f"## {name} ({section['seconds']:.0f} s{state})")
        columns = list(dict.fromkeys(key for row in section["rows"] for key in row))
        rows = [[shown(row.get(key, "")) for key in columns] for row in section["rows"]]
        parts.append(tabulate(rows, columns, tablefmt="github", disable_numparse=True))
        if section["error"]:
            parts.append(section["error"].splitlines()[-1])
    return "\n\n".join(parts) + "\n"


def shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def passed(found: dict) -> bool:
    """Whether no section failed and no answer was apart. A section that was stopped at its limit has not failed."""
    rows = [row for section in found["sections"].values() for row in section["rows"]]
    wrong = any(row.get("verdict", "ok") not in ("ok", "refused") for row in rows)
    return not wrong and not any(section["error"] for section in found["sections"].values())


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m speed.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--small", action="store_true", help="small sizes, which a CPU takes about a minute for")
    parser.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="of `agree` and `times`")
    parser.add_argument("--json", type=Path, default=Path("output/gpu.json"), metavar="FILE")
    parser.add_argument("--markdown", type=Path, default=Path("output/gpu.md"), metavar="FILE")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser


@one_sentence("interrupted")
def run(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    sizes = Sizes.of(args.small, tuple(args.methods))
    if args.rows:
        write_rows(args.sections[0], sizes, args.rows)
        return 0
    for option, file in (("--json", args.json), ("--markdown", args.markdown)):
        check_writable(file, option)
        file.parent.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    found: dict = {"device": device, "small": args.small, "environment": environment(), "sections": {}}
    for name in args.sections:
        found["sections"][name] = run_section(name, sizes, ALONE if args.small else SECTIONS[name][1])
        write_json(found, args.json)  # after each section: an interruption loses no more than one
        with atomic_path(args.markdown) as temporary, open(temporary, "w", encoding="utf-8") as output:
            output.write(report(found))
    print(report(found))
    return 0 if passed(found) else 1


if __name__ == "__main__":
    sys.exit(run())
