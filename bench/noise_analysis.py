"""python -m bench.noise_analysis: see `bench/studies/noise_analysis.py`."""

import sys

if __name__ != "__mp_main__":  # worker processes import this file, too, and need nothing of it
    from .studies.noise_analysis import main

if __name__ == "__main__":
    from dassl.utils.console import tolerant_console

    tolerant_console()
    sys.exit(main())
