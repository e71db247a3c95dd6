"""python -m bench.noise_analysis: see `bench/studies/noise_analysis.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.noise_analysis import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
