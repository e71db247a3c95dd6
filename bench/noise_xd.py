"""python -m bench.noise_xd: see `bench/studies/noise_xd.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.noise_xd import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
