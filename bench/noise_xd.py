"""python -m bench.noise_xd: see `bench/studies/noise_xd.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.noise_xd import main

    tolerant_console()
    sys.exit(main())
