"""The worked example of docs/add_a_protocol.md, as it is printed there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from helpers import cleanlab_stand_in
from suite_files import overrides

from bench.__main__ import main
from bench.reading.collect import collect
from bench.running.work import work
from bench.suites import blocks as suite_blocks
from bench.suites.suite import read_suite
from runs import protocols
from runs.about import FIELDS

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "add_a_protocol.md"


HARD = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5, "TRAINER.FILTER": "cleanlab"}
HARD |= {"TEST.ADV_SET": "make", "ATTACK.STEPS": 2}


@pytest.mark.parametrize("more", [{}, HARD], ids=["as it is", "under noise, filter and attack"])
def test_the_example_protocol_runs(tiny, tmp_path, monkeypatch, capsys, more):
    cleanlab_stand_in(monkeypatch, (1, 4))
    text = DOCUMENT.read_text()
    run_file, block_code = re.findall(r"```python\n(.*?)```", text, re.S)
    (suite_text,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    imported, entry = re.findall(r"`(from \.tuning_protocol.*?|\*\*TUNING_PROTOCOLS,)`", text)

    def written(name: str, code: str) -> ModuleType:
        """The module of a file with this text, for the time of the test."""
        module = ModuleType(name)
        module.__package__ = name.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, f"{name}.py", "exec"), vars(module))
        return module

    written("runs.tuning_protocol", run_file)
    own = Path(protocols.__file__).read_text().replace("from .words import", f"{imported}\nfrom .words import")
    own = own.replace("    **TEST_TIME_PROTOCOLS,\n", f"    **TEST_TIME_PROTOCOLS,\n    {entry}\n")
    edited = written("runs.edited_protocols", own)
    monkeypatch.setitem(protocols.PROTOCOLS, "tuning", edited.PROTOCOLS["tuning"])
    edited = written("bench.suites.edited_blocks", f"{Path(suite_blocks.__file__).read_text()}\n\n{block_code}")
    monkeypatch.setitem(suite_blocks.PROTOCOLS, "tuning", edited.PROTOCOLS["tuning"])

    tree = yaml.safe_load(suite_text)
    own = {key: value for key, value in overrides(tiny).items() if key != "OPTIM.LR"}  # which the example sweeps
    file = tmp_path / "tuning.yaml"
    file.write_text(yaml.safe_dump(tree | {"overrides": own | more, "output": str(tmp_path / "out")}))
    assert main(["plan", str(file), "--root", str(tiny.root), "--list"]) == 0
    assert "tuning: 8 runs" in (shown := capsys.readouterr().out) and "TEST.SPLIT val" in shown
    run = read_suite(file, root=str(tiny.root)).runs[0]
    assert work(run).how == "done"
    record = json.loads((run.folders[0] / "results.json").read_text())
    assert record["split"] == "val" and record["results"]["total"] == 2 * 5
    assert [bool(record.get(key)) for key in ("filter", "noise", "adversarial")] == [bool(more)] * 3
    where = str(run.folders[0])
    assert "variants/LR=0.002" in where and where.endswith("tuning/digits/shots_4/CoOp/embedded/seed1")
    assert {key: record[key] for key in FIELDS} == {
        "protocol": "tuning", "suite": "tuning", "variant": "LR=0.002", "cfg": "embedded", "source": "digits",
    }  # fmt: skip

    (row,) = collect(tmp_path / "out").to_dict("records")
    assert (row["protocol"], row["part"], row["dataset"], row["source"]) == ("tuning", "all", "digits", "digits")
    assert (row["shots"], row["cfg"], row["variant"], row["seed"]) == (4, "embedded", "LR=0.002", 1)
    assert main(["report", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Tuning</h2>" in page and "Other runs" not in page and "CoOp (LR=0.002" in page
