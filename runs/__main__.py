"""python -m runs PROTOCOL TRAINER DATASET SEED [KEY VALUE ...]: runs a protocol; scripts/run.sh calls it."""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from collections.abc import Callable

from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence

WORDS = ("PROTOCOL", "TRAINER", "DATASET", "SEED")
USAGE = f"usage: python -m runs {' '.join(WORDS)} [KEY VALUE ...]"


@one_sentence("interrupted")
def main(argv: list[str]) -> int:
    """Makes and runs the protocol's runs. Returns the exit code: 0, or of several failed runs the lowest."""
    from .flags import SHOW, SKIP
    from .pairs import apart
    from .protocols import PROTOCOLS, check_protocol, plan
    from .words import seed_of

    if argv and argv[0] not in ("-h", "--help"):
        check_protocol(argv[0])
    if len(argv) < 4:
        helps = any(word in ("-h", "--help") for word in argv)
        missing = ", ".join(WORDS[len(argv) :])
        error = "" if helps or not argv else f"error: nothing is given for {missing}.\n"
        known = textwrap.fill(f"protocols: {', '.join(PROTOCOLS)}", 98, subsequent_indent="  ")
        text = f"{error}{USAGE}\n{known}"
        print(text, file=sys.stdout if helps else sys.stderr)  # noqa: T201
        return 0 if helps else 2
    protocol, trainer, datasets, seed, *pairs = argv

    options = [word for word in (SHOW, SKIP) if word in pairs]  # of train.py
    pairs = apart(word for word in pairs if word not in options)
    runs = [[*options, *each] for each in plan(protocol, trainer, datasets, seed_of(seed), os.environ, pairs)]

    from .one_run import check_before, run  # imported last, since it takes seconds, so that errors above are fast

    if len(runs) == 1:
        return run(runs[0])
    check_before(runs)
    return _one_after_another(runs, run)


def _one_after_another(runs: list[list[str]], run: Callable[[list[str]], int]) -> int:
    """Run all in this process. A run that fails does not stop the others; failed ones are listed at the end."""
    failed = {}
    for number, arguments in enumerate(runs, start=1):
        folder = arguments[arguments.index("--output-dir") + 1]
        print(f"\n== run {number} of {len(runs)}: {folder}", flush=True)  # noqa: T201
        try:
            code = run(arguments)
        except Exception:
            traceback.print_exc()
            code = 1
        if code == 130:  # interrupted
            return code
        if code:
            failed[folder] = code
    for folder in failed:
        print(f"failed: {folder}", file=sys.stderr)  # noqa: T201
    return min(failed.values(), default=0)


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main(sys.argv[1:]))
