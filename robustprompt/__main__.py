"""python -m robustprompt WORD [ARGUMENT ...]: see `robustprompt/entrance.py`."""

from __future__ import annotations

import sys

from dassl.utils.console import tolerant_console

from .entrance import main

if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
