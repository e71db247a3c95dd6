"""python -m datasets.embedded.regime: see `bench/studies/regime.py`."""

import sys

from bench.studies.regime import main
from dassl.utils.console import tolerant_console

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
