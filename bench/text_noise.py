"""python -m bench.text_noise: see `bench/studies/text_noise.py`."""

import sys

if __name__ != "__mp_main__":  # worker processes import this file, too, and need nothing of it
    from .studies.text_noise import main

if __name__ == "__main__":
    from dassl.utils.console import tolerant_console

    tolerant_console()
    sys.exit(main())
