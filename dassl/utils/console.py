"""Output of command lines: characters that the terminal cannot show are no error."""

from __future__ import annotations

import sys


def tolerant_console() -> None:
    """Make stdout and stderr print characters that they cannot encode as escapes (\\u65e5).

    Class names may be in any script while the terminal has ASCII only, and file names need not be valid text.
    """
    for stream in (sys.stdout, sys.stderr):
        errors, encoding = getattr(stream, "errors", ""), str(getattr(stream, "encoding", "")).lower()
        if errors == "strict" or (errors == "surrogateescape" and not encoding.startswith("utf")):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
