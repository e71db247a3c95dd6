"""python -m bench.base2new: see `bench/studies/base2new.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.base2new import main

    tolerant_console()
    sys.exit(main())
