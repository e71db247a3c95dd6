"""The timings moved to `speed/`; `python -m benchmarks.NAME` still finds them there."""

from pathlib import Path

__path__ = [str(Path(__file__).with_name("speed"))]
