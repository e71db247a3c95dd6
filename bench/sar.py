"""python -m bench.sar: see `bench/studies/sar.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.sar import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
