"""Completion for bash, and for zsh by its bash compatibility: a fixed list of words, so that a Tab starts no Python."""

from __future__ import annotations

from .doors import DOORS

SCRIPT = """\
# For ~/.bashrc or ~/.zshrc: eval "$(robustprompt completion)"
if [ -n "${{ZSH_VERSION:-}}" ]; then autoload -Uz compinit bashcompinit && compinit && bashcompinit; fi
_robustprompt() {{
  local words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{words}"
  elif [ "$COMP_CWORD" -eq 2 ]; then
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[$COMP_CWORD]}}"))
}}
complete -o default -F _robustprompt robustprompt"""


def completion() -> str:
    """A script for the shell. Where it knows no word, the shell completes names of files."""
    cases = "\n".join(f'      {word}) words="{" ".join(door.then)}" ;;' for word, door in DOORS.items() if door.then)
    return SCRIPT.format(words=" ".join(DOORS), cases=cases)
