"""The engine alone, for PYTHONPATH: a checkout that has its own trainers, datasets or clip sees none of ours.

This is the package `dassl` at the project's root; its modules are found there.
"""

from pathlib import Path

_HOME = Path(__file__).resolve().parents[3] / "dassl"
__path__ = [str(_HOME)]
exec(compile((_HOME / "__init__.py").read_text(encoding="utf-8"), str(_HOME / "__init__.py"), "exec"))
