"""python -m bench.noise_analysis: see `bench/studies/noise_analysis.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.noise_analysis import main

    tolerant_console()
    sys.exit(main())
