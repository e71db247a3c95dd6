"""The one entrance: `python -m robustprompt WORD ...` leads to every command of the project (docs/running.md)."""
