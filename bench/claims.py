"""python -m bench.claims: see `bench/studies/claims.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.claims import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
