"""python -m bench.dpsep_ablation: see `bench/studies/dpsep_ablation.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.dpsep_ablation import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
