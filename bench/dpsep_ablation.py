"""python -m bench.dpsep_ablation: see `bench/studies/dpsep_ablation.py`."""

import sys

if __name__ != "__mp_main__":  # worker processes import this file, too, and need nothing of it
    from .studies.dpsep_ablation import main

if __name__ == "__main__":
    from dassl.utils.console import tolerant_console

    tolerant_console()
    sys.exit(main())
