"""python -m bench.anprompt_ablation: see `bench/studies/anprompt_ablation.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.anprompt_ablation import main

    tolerant_console()
    sys.exit(main())
