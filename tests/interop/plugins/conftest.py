"""What these tests load leaves no trace for others in the same process."""

from __future__ import annotations

import sys

import pytest

import train  # noqa: F401  registers what is ours, which stays
from interop.plugins import registration
from interop.plugins.scope import SCOPES


@pytest.fixture(scope="module", autouse=True)
def nothing_stays():
    before = registration.snapshot()
    yield
    registration.restore(before)
    registration.BROUGHT.clear()
    for name in [name for name in sys.modules if "." in name and name.partition(".")[0] in SCOPES]:
        del sys.modules[name]
