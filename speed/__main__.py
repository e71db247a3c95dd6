"""python -m speed: the timings, each a command of its own, `python -m speed.NAME`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path


def main() -> int:
    """Print the timings to stderr. Returns 2, since this is no command by itself."""
    print("usage: python -m speed.NAME [OPTION ...]\n", file=sys.stderr)  # noqa: T201
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "__main__" in text and file.stem != "__main__":
            first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
            print(f"  {file.stem:18} {first}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
