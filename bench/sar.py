"""python -m bench.sar: see `bench/studies/sar.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.sar import main

    tolerant_console()
    sys.exit(main())
