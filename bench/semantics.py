"""python -m bench.semantics: see `bench/studies/semantics.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.semantics import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
