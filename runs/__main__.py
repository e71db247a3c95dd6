"""python -m runs PROTOCOL TRAINER DATASET SEED [KEY VALUE ...]: what the scripts call."""

from __future__ import annotations

import os
import sys

USAGE = "usage: scripts/METHOD/PROTOCOL.sh DATASET SEED [KEY VALUE ...], for example: base2new_train.sh eurosat 1"


def main(argv: list[str]) -> int:
    if len(argv) < 4:
        print(f"error: DATASET and SEED are needed.\n{USAGE}", file=sys.stderr)  # noqa: T201
        return 2
    protocol, trainer, dataset, seed, *pairs = argv

    from dassl.utils import InputError

    from .protocols import PROTOCOLS, Settings

    try:
        if protocol not in PROTOCOLS:
            raise InputError(f"There is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}.")
        if not seed.isdigit():
            raise InputError(f"SEED is {seed!r}, but must be a whole number such as 1.")
        arguments = PROTOCOLS[protocol](trainer, dataset, int(seed), Settings.from_environment(os.environ, pairs))
    except InputError as error:
        print(f"error: {error}\n{USAGE}", file=sys.stderr)  # noqa: T201
        return 2

    from train import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
