"""python -m robustprompt.reference [--check]: writes docs/reference/, every config key and the help of every command.

--check writes nothing, and says which pages are not as the code has them (exit code 1).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dassl.utils import atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen

from .help_pages import commands_page
from .key_pages import ROOT, config_page

FOLDER = ROOT / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {"config.md": config_page, "commands.md": commands_page}


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 if --check found a page to write anew."""
    parser = argparse.ArgumentParser(
        prog="python -m robustprompt.reference",
        description=__doc__,
        formatter_class=Screen,
        epilog="example: python -m robustprompt.reference --check",
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    stale = []
    for name, make in PAGES.items():
        file, text = FOLDER / name, make()
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not args.check:
            with atomic_path(file) as temporary:
                Path(temporary).write_text(text, encoding="utf-8")
    told = "to be written: python -m robustprompt.reference" if args.check else "written"
    print("\n".join(f"docs/reference/{name} {told}" for name in stale) or "All pages are as the code has them.")  # noqa: T201
    return int(bool(args.check and stale))


if __name__ == "__main__":
    from dassl.utils.console import tolerant_console

    tolerant_console()
    sys.exit(main())
