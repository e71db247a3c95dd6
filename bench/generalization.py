"""python -m bench.generalization: see `bench/studies/generalization.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.generalization import main

    tolerant_console()
    sys.exit(main())
