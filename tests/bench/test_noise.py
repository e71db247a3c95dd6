"""The label-noise study: which runs it stands for, its tables, and the check that all methods met the same labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study_runs import finish, noise_of, suite_of

import train
from bench.studies import dpsep_ablation, noise, noise_plots
from bench.studies.noise import method_blocks, name_of, read_types
from bench.studies.noise_tables import sections, tables
from bench.studies.rows import rows_of
from bench.suites.methods import named_variants
from dassl.utils import InputError

NAMES = ("CoOp", "PTNL-GCE", "ZeroshotCLIP")


def words(names=NAMES, types=("sym_other:0,0.5", "idn:0.4"), seeds=("1", "2")) -> list[str]:
    return ["--methods", *names, "--datasets", "digits", "--types", *types, "--seeds", *seeds]


def falling(step) -> float:
    return 80.0 - 40 * noise_of(step)[1] + 2 * step.seed


def found_in(suite, cells=name_of):
    return tables(rows_of(suite, [], checked=False), cells)


def test_rate_0_and_untrained_methods_are_one_run():
    runs = suite_of(noise.STUDY, *words()).runs
    names = [(run.method, *noise_of(run.job[0]), run.seed) for run in runs]
    assert len(set(names)) == len(names) == 2 * 2 * 3 + 1
    assert sorted(n for n in names if n[0] == "CoOp" and n[3] == 1) == [
        ("CoOp", "idn", 0.4, 1), ("CoOp", "sym_other", 0.0, 1), ("CoOp", "sym_other", 0.5, 1),
    ]  # fmt: skip
    assert [n for n in names if n[0] == "ZeroshotCLIP"] == [("ZeroshotCLIP", "sym_other", 0.0, 1)]
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)


def test_swapped_images_have_a_rate_0_of_their_own():
    runs = suite_of(noise.STUDY, *words(["CoOp"], ["fp_swap_sym:0", "pair_next:0"], ["1"])).runs
    assert [noise_of(run.job[0])[0] for run in runs] == ["fp_swap_sym", "sym_other"]


def test_settings_of_a_method_have_folders_of_their_own_and_valid_configs():
    names = ["PTNL", "ptnl-gce", "PTNL:TRAINER.PTNL.LOSS=gce,TRAINER.PTNL.GCE_Q=0.7"]
    names += [name for name in named_variants() if name != "PTNL-GCE"]
    suite = suite_of(noise.STUDY, *words(names, ["idn:0.4"], ["1"]), "--root", "data", "--", "OPTIM.MAX_EPOCH", "2")
    assert len({run.folders for run in suite.runs}) == len(names)
    explicit = suite.runs[-1]
    assert name_of(explicit.block, explicit.variant, explicit.method) == ("PTNL (LOSS gce, GCE_Q 0.7)",)
    assert explicit.folders[0].parts[1:3] == ("variants", "PTNL,TRAINER.PTNL.LOSS=gce,TRAINER.PTNL.GCE_Q=0.7")
    for run in suite.runs:
        cfg = train.setup_cfg(train.build_parser().parse_args(run.job[0].planned(2)))
        assert run.method == cfg.TRAINER.NAME and cfg.DATASET.NOISE.TYPE == "idn" and cfg.DATASET.NOISE.RATE == 0.4
        assert cfg.OPTIM.MAX_EPOCH == 2 and Path(cfg.OUTPUT_DIR) == run.folders[0]


@pytest.mark.parametrize("names", [["PTNLX"], ["PTNL:LOSS"], ["NoMethod:A=b"]])
def test_unknown_methods_are_refused(names):
    with pytest.raises(InputError):
        suite_of(noise.STUDY, *words(names))


def test_blocks_of_methods():
    block = {"name": "noise", "methods": ["CoOp"]}
    assert [each["methods"] for each in method_blocks(block, ["A", "B:X.K=1", "A"])] == [["A"], ["B"]]


def test_types():
    assert read_types(["sym_other:0.5,0", "idn:0.4", "sym_other:0.25"]) == {"sym_other": [0.0, 0.25, 0.5], "idn": [0.4]}
    for bad in ("sym:0.5", "idn", "idn:x", "idn:1.0", "idn:-0.1", "idn:nan"):
        with pytest.raises(InputError):
            suite_of(noise.STUDY, *words(types=[bad]))


def test_a_table_is_mean_and_sample_deviation_over_seeds(tmp_path):
    suite = suite_of(noise.STUDY, *words(), output=tmp_path)
    finish(suite, falling)
    found, said = found_in(suite)
    assert said == [] and [t.kind for t in found] == ["sym_other", "idn"]
    _, section = sections(found, ["method"], "note")
    assert section.title == "Digits, instance-dependent" and section.headers == ["method", "0%", "40%", "seeds"]
    # of 82 and 84 the sample deviation is sqrt(2), the population's would be 1
    assert section.rows[0] == ["CoOp", "83.00 ± 1.41", "67.00 ± 1.41", "2"]
    assert section.rows[2] == ["ZeroshotCLIP", "82.00", "82.00", "1"]
    assert section.note == "note"


def test_a_row_that_met_other_labels_is_left_out(tmp_path):
    suite = suite_of(noise.STUDY, *words(["CoOp", "PTNL", "PTNL-GCE", "ZeroshotCLIP"]), output=tmp_path)

    def labels(step):
        return "other" if "gce" in step.settings.pairs and noise_of(step)[0] == "idn" and step.seed == 2 else ""

    finish(suite, lambda step: 70.0, labels)
    found, said = found_in(suite)
    rows = {t.kind: [row[0] for row in t.rows()] for t in found}
    assert rows == {
        "sym_other": ["CoOp", "PTNL", "PTNL-GCE", "ZeroshotCLIP"],
        "idn": ["CoOp", "PTNL", "ZeroshotCLIP"],
    }
    assert len(said) == 1 and "PTNL-GCE" in said[0] and "rate 0.4, seed 2" in said[0]


def test_runs_that_are_missing_or_of_other_settings_are_not_in_the_table(tmp_path):
    suite = suite_of(noise.STUDY, *words(["CoOp", "PTNL"]), output=tmp_path)
    finish(suite, lambda step: 70.0)
    first = next(run for run in suite.runs if run.method == "CoOp" and noise_of(run.job[0])[0] == "idn")
    (first.folders[0] / "results.json").unlink()
    assert found_in(suite)[0][1].rows()[0] == ["CoOp", "70.00 ± 0.00", "70.00", "1-2"]
    said: list[str] = []
    assert rows_of(suite, said).empty and len(said) == len(suite.runs) - 1, "their settings_hash is none of the suite's"
    assert all("other settings" in sentence for sentence in said)


def test_backbones_are_named_where_they_differ(tmp_path):
    suite = suite_of(noise.STUDY, *words(["CoOp", "PTNL"], ["idn:0.4"]), output=tmp_path)
    finish(suite, lambda step: 70.0)
    for run in suite.runs:
        file = run.folders[0] / "results.json"
        name = {"CoOp": "Embedded", "PTNL": "RN50"}[run.method]
        file.write_text(json.dumps(json.loads(file.read_text()) | {"backbone": {"name": name}}))
    assert [row[0] for row in found_in(suite)[0][0].rows()] == ["CoOp (Embedded)", "PTNL (RN50)"]


def test_the_picture_has_a_panel_a_table_and_a_line_a_method(tmp_path, monkeypatch):
    suite = suite_of(noise.STUDY, *words(), output=tmp_path)
    finish(suite, falling)
    drawn = []
    monkeypatch.setattr(noise_plots.figures, "save", lambda figure, *_: drawn.append(figure))
    noise_plots.plot(found_in(suite)[0], tmp_path)
    axes = drawn[0].axes
    assert [ax.get_title() for ax in axes] == ["Digits, symmetric", "Digits, instance-dependent"]
    assert [line.get_ydata().tolist() for line in axes[0].lines] == [[83.0, 63.0], [83.0, 63.0], [82.0, 82.0]]
    assert axes[1].lines[0].get_xdata().tolist() == [0.0, 40.0]
    legend = drawn[0].legends[-1]
    assert [t.get_text() for t in legend.get_texts()] == list(NAMES)
    extent = legend.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= drawn[0].bbox.width


def test_the_command(tmp_path, capsys):
    output = tmp_path / "out"
    finish(suite_of(noise.STUDY, *words(["CoOp", "ZeroshotCLIP"]), output=output), falling)
    rest = [*words()[4:], "--tables-only", "--output", str(output)]
    files = ["--markdown", str(tmp_path / "t.md"), "--plots", str(tmp_path / "plots")]
    assert noise.main(["--methods", "CoOp", "ZeroshotCLIP", *rest, *files]) == 0
    assert "Digits, instance-dependent" in capsys.readouterr().out
    assert "| CoOp" in (tmp_path / "t.md").read_text()
    assert sorted(f.name for f in (tmp_path / "plots").iterdir()) == ["noise.pdf", "noise.png"]
    assert noise.main(["--methods", "PTNL", *rest]) == 2  # nothing is there
    assert noise.main(["--methods", "PTNLX", *rest]) == 2
    assert "nearest first: PTNL" in capsys.readouterr().err


def test_the_rows_of_dpseps_ablation(tmp_path):
    suite = suite_of(dpsep_ablation.STUDY, "--datasets", "digits", "--seeds", "1", "2", output=tmp_path)
    rows = {dpsep_ablation.cells_of(run.block, run.variant, run.method): run for run in suite.runs}
    assert len(rows) == 12 and len({run.variant for run in suite.runs}) == 12
    found = {}
    for cells, run in rows.items():
        if cells[0] == "zero-shot CLIP":
            continue
        node = train.setup_cfg(train.build_parser().parse_args(run.job[0].planned(1))).TRAINER.DPSEP
        dual = {node.USE_APOS, node.USE_ANEG, node.USE_MC}
        assert len(dual) == 1  # the three alignment terms go together
        sep = (node.SEP_SIGN, node.SEP_SIGMA) if node.USE_SEP else None
        found[cells] = (node.REDUCTION if dual.pop() else None, sep)
    assert found["CE", "", ""] == (None, None) and found["DP", "", "sum"] == ("sum", None)
    assert found["SEP sigma 0", "printed", ""] == (None, ("printed", 0.0))
    assert found["SEP", "intent", ""] == (None, ("intent", 0.05))
    assert found["DP-SEP", "intent", "sum"] == ("sum", ("intent", 0.05))
    assert len(set(found.values())) == len(found)
    finish(suite, lambda step: 50.0)
    options = ["--datasets", "digits", "--seeds", "1", "2", "--output", str(tmp_path), "--tables-only"]
    assert dpsep_ablation.main([*options, "--markdown", str(tmp_path / "t.md")]) == 0
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) == 1 + len(rows)
