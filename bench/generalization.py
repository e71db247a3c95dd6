"""python -m bench.generalization: see `bench/studies/generalization.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.generalization import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
