"""python -m bench.adversarial_base2new: see `bench/studies/adversarial_base2new.py`."""

import sys

if __name__ != "__mp_main__":  # worker processes import this file, too, and need nothing of it
    from .studies.adversarial_base2new import main

if __name__ == "__main__":
    from dassl.utils.console import tolerant_console

    tolerant_console()
    sys.exit(main())
