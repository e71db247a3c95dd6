"""Check of prompt templates from the command line or a config."""

from __future__ import annotations

from .errors import InputError


def check_template(template: str, key: str) -> str:
    """The template, if it has one `{}`, where the class name goes, and no other brace; else InputError naming `key`.

    Doubled braces are refused too: `{{}}` would give every class the same prompt.
    """
    rest = template.replace("{}", "", 1)
    if "{}" not in template or "{" in rest or "}" in rest:
        raise InputError(
            f"{key} is {template!r}, but needs {{}} once, where the class name goes, and no other brace, as in "
            "'a photo of a {}.'."
        )
    return template
