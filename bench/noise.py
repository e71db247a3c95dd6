"""python -m bench.noise: see `bench/studies/noise.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.noise import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
