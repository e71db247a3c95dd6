"""python -m bench.table: see `bench/drawing/table.py`."""

import sys

from dassl.utils.console import tolerant_console

from .drawing.table import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
