"""python -m bench.adversarial: see `bench/studies/adversarial.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.adversarial import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
