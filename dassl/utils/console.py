"""What every command line does before its first line: no name is too foreign for the terminal."""

from __future__ import annotations

import sys


def tolerant_console() -> None:
    """Characters that stdout or stderr cannot encode come out as escapes (\\u65e5), and end no command.

    Class names may be in any script where the terminal has ASCII alone, and file names need not be text at all.
    """
    for stream in (sys.stdout, sys.stderr):
        errors, encoding = getattr(stream, "errors", ""), str(getattr(stream, "encoding", "")).lower()
        if errors == "strict" or (errors == "surrogateescape" and not encoding.startswith("utf")):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
