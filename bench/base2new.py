"""python -m bench.base2new: see `bench/studies/base2new.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.base2new import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
