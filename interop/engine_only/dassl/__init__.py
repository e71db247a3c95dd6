"""The package `dassl` alone, for PYTHONPATH.

A checkout with its own `trainers`, `datasets` or `clip` then imports only the engine from this project. The modules are
those of the folder `dassl` at the project's root.
"""

from pathlib import Path

_HOME = Path(__file__).resolve().parents[3] / "dassl"
__path__ = [str(_HOME)]
exec(compile((_HOME / "__init__.py").read_text(encoding="utf-8"), str(_HOME / "__init__.py"), "exec"))
