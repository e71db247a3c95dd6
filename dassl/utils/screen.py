"""Help of commands that fits on one screen of 100 columns."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable

MANY = 8  # with more options the usage line says "[OPTION ...]" instead of listing them; the help below lists them


class Screen(argparse.RawDescriptionHelpFormatter):
    """Options on one line each where they fit, a short usage, and descriptions wrapped to the screen.

    Lines of a description that are indented, or begin a command, stay as they are.
    """

    def __init__(
        self, prog: str, indent_increment: int = 2, max_help_position: int = 32, width: int | None = None
    ) -> None:
        super().__init__(prog, indent_increment, max_help_position, width)

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable, prefix: str | None = None
    ) -> None:
        actions = list(actions)
        optional = [action for action in actions if action.option_strings]
        if usage is None and len(optional) > MANY:
            needed = [action for action in actions if not action.option_strings or action.required]
            usage = " ".join(["%(prog)s", "[OPTION ...]", *map(self._shown, needed)])
        super().add_usage(usage, actions, groups, prefix)

    def _shown(self, action: argparse.Action) -> str:
        """A required option or a positional argument, as it appears in a usage line."""
        if not action.option_strings:
            return self._format_args(action, self._get_default_metavar_for_positional(action))
        return f"{action.option_strings[0]} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in _wrapped(text, width))


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        command = line.startswith(("python ", "bash ")) and ": " not in line
        kept = command or not line.strip() or line[0].isspace()
        if kept:
            lines += textwrap.wrap(" ".join(paragraph), width)
            paragraph = []
            lines.append(line)
        else:
            paragraph.append(line)
    return lines[:-1]
