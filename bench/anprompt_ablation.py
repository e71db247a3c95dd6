"""python -m bench.anprompt_ablation: see `bench/studies/anprompt_ablation.py`."""

import sys

from dassl.utils.console import tolerant_console

from .studies.anprompt_ablation import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
