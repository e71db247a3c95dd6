"""python -m bench.dpsep_ablation: see `bench/studies/dpsep_ablation.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.dpsep_ablation import main

    tolerant_console()
    sys.exit(main())
