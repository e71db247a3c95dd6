"""`--block`: some blocks of a suite, as the same runs that the whole suite has."""

from __future__ import annotations

import pytest
import yaml
from test_selection import PLAIN, SELECT, TAKE, finish, peak, suite_in

from bench.__main__ import main as bench
from bench.running.selection import write_choice
from bench.suites.part import of_blocks
from bench.suites.suite import read_suite
from dassl.utils import InputError

AWAY = {"methods": ["CoOp"], "source": "shapes", "seeds": [1]}
BLOCKS = (
    {"protocol": "base2new", "methods": ["CoOp", "ZeroshotCLIP"], "datasets": ["digits", "letters"]},
    {"protocol": "cross_dataset", **AWAY},
    {"protocol": "domain_generalization", **AWAY},
    {**PLAIN, "name": "noise [1]"},
)
SHOWN = ("plan", "status", "run", "work", "retry", "clean")


def test_a_part_has_the_runs_and_folders_of_the_whole(tmp_path):
    whole = suite_in(tmp_path, *BLOCKS)
    of = {block: {run.id: run for run in of_blocks(whole, [block]).runs} for block in whole.blocks}
    everything = {run.id: run for run in whole.runs}
    assert all(found and found.items() <= everything.items() for found in of.values())
    assert {id for found in of.values() for id in found} == set(everything)
    assert of["cross_dataset"] == of["domain_generalization"]  # one training for both, with the tests of both
    (run,) = of["domain_generalization"].values()
    assert {step.protocol for step in run.job} == {"xd_train", "xd_test", "dg_test"}
    assert {run.block for run in of["base2new"].values()} == {"base2new"}
    assert of_blocks(whole, []) is whole and not of_blocks(whole, ["*"]).part


def test_names_and_patterns_add_up(tmp_path):
    whole = suite_in(tmp_path, *BLOCKS)
    part = of_blocks(whole, ["*[sn]*e2new", "noise [1]"])
    assert part.part == ("base2new", "noise [1]") and part.title == "s (base2new, noise [1])"
    assert [run for run in whole.runs if run.block in part.part] == part.runs
    with pytest.raises(InputError, match="there is no block 'bas2new'; known, nearest first: base2new, "):
        of_blocks(whole, ["base2new", "bas2new"])


@pytest.mark.parametrize("command", SHOWN)
def test_every_command_on_a_suite_tells_an_unknown_block(command, tmp_path, capsys):
    suite_in(tmp_path, *BLOCKS)
    assert (
        bench([command, str(tmp_path / "s.yaml"), "--block", "away", *(["--all"] if command == "clean" else [])]) == 2
    )
    out, said = capsys.readouterr()
    assert not out and said.count("\n") == 1 and "no block 'away'" in said and not (tmp_path / "out").exists()


def test_plan_and_status_show_the_part(tmp_path, capsys):
    suite_in(tmp_path, *BLOCKS)
    for command in ("plan", "status"):
        assert bench([command, str(tmp_path / "s.yaml"), "--block", "base2new"]) == 0
        said = capsys.readouterr().out
        assert said.startswith("s (base2new): 6 runs") and "cross_dataset" not in said


def test_a_block_that_waits_brings_its_candidates_until_they_are_chosen(tmp_path):
    other = {**SELECT, "name": "other", "select": {"key": "OPTIM.MAX_EPOCH", "values": [2, 3]}}
    whole = suite_in(tmp_path, SELECT, TAKE, PLAIN, other)
    part = of_blocks(whole, ["chosen"])
    assert part.part == ("rate", "chosen") and list(part.selects) == list(part.tried) == ["rate"]
    assert part.runs == [run for run in whole.runs if run.block == "rate"]
    finish(whole, peak({"CoOp": "0.004", "PTNL": "0.001"}))
    write_choice(of_blocks(whole, ["other"]))
    write_choice(part)  # beside the choice of the other block
    assert list(yaml.safe_load((whole.output / "selected.yaml").read_text())) == ["other", "rate"]
    after = of_blocks(read_suite(whole.file), ["chosen"])
    assert not after.waiting and not after.selects and {run.block for run in after.runs} == {"chosen"}


def test_a_run_of_two_blocks_is_in_the_part_of_each(tmp_path):
    whole = suite_in(tmp_path, SELECT, TAKE, PLAIN)
    finish(whole, peak({"CoOp": "0.002", "PTNL": "0.004"}))  # of CoOp what `plain` has too
    write_choice(whole)
    whole = read_suite(whole.file)
    assert len(whole.same) == 4
    for block in ("chosen", "plain"):
        assert set(whole.same) <= {run.id for run in of_blocks(whole, [block]).runs}


def test_running_a_block_leaves_the_others(tmp_path, tiny, capsys):
    from suite_files import B2N, write_suite

    blocks = [
        {**B2N, "methods": ["ZeroshotCLIP"]},
        {"protocol": "few_shot", "methods": ["ZeroshotCLIP"], "datasets": "digits"},
    ]
    file = write_suite(tmp_path / "s.yaml", tiny, blocks)
    words = [str(file), "--root", str(tiny.root)]
    assert bench(["work", *words, "--block", "few_shot"]) == 0
    assert {path.relative_to(tmp_path / "out").parts[0] for path in tmp_path.rglob("results.json")} == {"few_shot"}
    capsys.readouterr()
    assert bench(["plan", *words]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["few_shot"][2:5] == ["1", "0", "0"] and lines["base2new"][2:5] == ["0", "0", "1"]
