"""scripts/*.sh with words that are wrong: one sentence, the usage where there is one, and nothing started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from world import ROOT

CASES = [
    ("coop/few_shot.sh", ["digits"], {}),
    ("coop/few_shot.sh", ["nope", "1"], {}),
    ("coop/base2new_train.sh", ["digits", "x" * 300], {}),
    ("maple/xd_train.sh", ["digits", "1", "OPTIM.MAX_EPOCH"], {"SHOTS": "1,2"}),
    ("run.sh", ["few_shot", "Nope", "digits", "1"], {}),
    ("run.sh", ["nope", "CoOp", "digits", "1"], {"OUTPUT": "/dev/null/x"}),
]


@pytest.mark.parametrize(("script", "words", "more"), CASES)
def test_a_script_says_it_in_one_sentence(script, words, more, tmp_path):
    env = {
        **os.environ,
        "PYTHON": sys.executable,
        "OUTPUT": str(tmp_path / "out"),
        "DATA": str(tmp_path / "data"),
        **more,
    }
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / script), *words], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("usage: ")]
    assert done.returncode == 2 and len(said) == 1 and said[0].startswith("error: "), done.stderr
    assert not list(tmp_path.iterdir())
