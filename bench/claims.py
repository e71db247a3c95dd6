"""python -m bench.claims: see `bench/studies/claims.py`."""

import sys

if __name__ != "__mp_main__":  # worker processes import this file, too, and need nothing of it
    from .studies.claims import main

if __name__ == "__main__":
    from dassl.utils.console import tolerant_console

    tolerant_console()
    sys.exit(main())
