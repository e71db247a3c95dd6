"""python -m bench.semantics: see `bench/studies/semantics.py`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of it
    from dassl.utils.console import tolerant_console

    from .studies.semantics import main

    tolerant_console()
    sys.exit(main())
