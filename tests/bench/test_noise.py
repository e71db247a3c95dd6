"""The label-noise sweep: which runs it stands for, its tables, and the check that all methods met the same labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import train
from bench.studies import dpsep_ablation, noise, noise_plots
from bench.studies.noise_plan import NAMED, Sweep, jobs, read_types, read_variants, step
from bench.studies.noise_tables import tables
from dassl.utils import InputError
from dassl.utils.spread import shown
from runs.protocols import PROTOCOLS, Settings

TYPES = {"sym_other": [0.0, 0.5], "idn": [0.0, 0.4]}


def sweep_of(names=("CoOp", "PTNL-GCE", "ZeroshotCLIP"), types=TYPES, seeds=(1, 2)) -> Sweep:
    return Sweep(read_variants(names), ["digits"], types, list(seeds))


def write(
    sweep: Sweep, output: Path, accuracy, manifest=lambda v, point, seed: f"{point[1]}{point[2]}{seed}"
) -> Settings:
    """Pretends that all runs are finished; returns the settings that find them."""
    settings = Settings(output=str(output))
    for point in sweep.points():
        for v in sweep.variants:
            for seed in sweep.seeds_of(v):
                each = step(v, point, seed, settings)
                kind, rate = each.settings.pairs[:2]
                sha = None if v.method == "ZeroshotCLIP" else manifest(v, ("digits", kind, float(rate)), seed)
                each.folder.mkdir(parents=True, exist_ok=True)
                record = {"dataset": "Digits", "noise": sha and {"sha256": sha}, "backbone": {"name": "Embedded"},
                          "results": {"accuracy": accuracy(v, float(rate), seed)}}  # fmt: skip
                (each.folder / "results.json").write_text(json.dumps(record))
    return settings


def test_rate_0_and_untrained_methods_are_one_run():
    found = [job[0] for job in jobs(sweep_of(), Settings(output="out"))]
    names = [(s.method, *s.settings.pairs[:2], s.seed) for s in found]
    assert len(set(names)) == len(names) == 2 * 2 * 3 + 1
    assert sorted(n for n in names if n[0] == "CoOp" and n[3] == 1) == [
        ("CoOp", "idn", "0.4", 1), ("CoOp", "sym_other", "0.0", 1), ("CoOp", "sym_other", "0.5", 1),
    ]  # fmt: skip
    assert [n for n in names if n[0] == "ZeroshotCLIP"] == [("ZeroshotCLIP", "sym_other", "0.0", 1)]
    assert [s.seed for s in found] == sorted(s.seed for s in found)


def test_swapped_images_have_a_rate_0_of_their_own():
    found = jobs(sweep_of(["CoOp"], {"fp_swap_sym": [0.0], "pair_next": [0.0]}, [1]), Settings())
    assert [job[0].settings.pairs[0] for job in found] == ["fp_swap_sym", "sym_other"]


def test_variants_have_folders_of_their_own_and_valid_configs():
    names = ["PTNL", "ptnl-gce", "PTNL:TRAINER.PTNL.LOSS=gce,TRAINER.PTNL.GCE_Q=0.7", *NAMED]
    found = read_variants(names)
    assert len(found) == len(NAMED) + 2  # ptnl-gce is one of them
    assert found[1].cells == ("PTNL-GCE",) and found[2].cells == ("PTNL (LOSS gce, GCE_Q 0.7)",)
    assert len({v.folder for v in found}) == len(found)
    for v in found:
        each = step(v, ("digits", "idn", 0.4), 1, Settings(output="out", pairs=("OPTIM.MAX_EPOCH", "2")))
        arguments = train.build_parser().parse_args(PROTOCOLS["noise_train"](v.method, "digits", 1, each.settings))
        cfg = train.setup_cfg(arguments)
        assert v.method == cfg.TRAINER.NAME and cfg.DATASET.NOISE.TYPE == "idn" and cfg.DATASET.NOISE.RATE == 0.4
        assert cfg.OPTIM.MAX_EPOCH == 2 and Path(cfg.OUTPUT_DIR) == each.folder
        for key, value in zip(v.pairs[::2], v.pairs[1::2], strict=True):
            node = cfg
            for part in key.split("."):
                node = node[part]
            assert str(node) == value


@pytest.mark.parametrize("names", [["PTNLX"], ["PTNL:LOSS"], ["NoMethod:A=b"]])
def test_unknown_methods_are_refused(names):
    with pytest.raises(InputError):
        read_variants(names)


def test_types():
    assert read_types(["sym_other:0.5,0", "idn:0.4", "sym_other:0.25"]) == {
        "sym_other": [0.0, 0.25, 0.5],
        "idn": [0.0, 0.4],
    }
    for bad in ("sym:0.5", "idn", "idn:x", "idn:1.0", "idn:-0.1", "idn:nan"):
        with pytest.raises(InputError):
            read_types([bad])


def test_a_table_is_mean_and_sample_deviation_over_seeds(tmp_path):
    sweep = sweep_of()
    settings = write(sweep, tmp_path, lambda v, rate, seed: 80.0 - 40 * rate + 2 * seed)
    found, refused = tables(sweep, settings)
    assert refused == [] and [t.kind for t in found] == ["sym_other", "idn"]
    section = found[1].section(["method"])
    assert section.title == "Digits, idn" and section.headers == ["method", "0%", "40%", "seeds"]
    # of 82 and 84 the sample deviation is sqrt(2), the population's would be 1
    assert section.rows[0] == ["CoOp", "83.00 ± 1.41", "67.00 ± 1.41", "2"]
    assert section.rows[2] == ["ZeroshotCLIP", "82.00", "82.00", "1"]
    assert shown([]) == "-"


def test_a_row_that_met_other_labels_is_left_out(tmp_path):
    def manifest(v, point, seed):
        return "other" if v.cells == ("PTNL-GCE",) and point[1:] == ("idn", 0.4) and seed == 2 else str((point, seed))

    sweep = sweep_of(["CoOp", "PTNL", "PTNL-GCE", "ZeroshotCLIP"])
    settings = write(sweep, tmp_path, lambda *_: 70.0, manifest)
    found, refused = tables(sweep, settings)
    rows = {t.kind: [row[0] for row in t.rows()] for t in found}
    assert rows == {
        "sym_other": ["CoOp", "PTNL", "PTNL-GCE", "ZeroshotCLIP"],
        "idn": ["CoOp", "PTNL", "ZeroshotCLIP"],
    }
    assert len(refused) == 1 and "PTNL-GCE" in refused[0] and "rate 0.4, seed 2" in refused[0]


def test_runs_that_are_missing_or_just_failed_are_not_in_the_table(tmp_path):
    sweep = sweep_of(["CoOp", "PTNL"])
    settings = write(sweep, tmp_path, lambda *_: 70.0)
    first, second = (step(sweep.variants[0], ("digits", "idn", 0.4), seed, settings) for seed in (1, 2))
    (first.folder / "results.json").unlink()
    found, _ = tables(sweep, settings, {str(second)})
    assert found[1].rows()[0] == ["CoOp", "70.00 ± 0.00", "-", "2"]
    (first.folder / "results.json").write_text("[]")
    with pytest.raises(InputError):
        tables(sweep, settings)


def test_backbones_are_named_where_they_differ(tmp_path):
    sweep = sweep_of(["CoOp", "PTNL"], {"idn": [0.4]})
    settings = write(sweep, tmp_path, lambda *_: 70.0)
    for seed in (1, 2):
        file = step(sweep.variants[1], ("digits", "idn", 0.4), seed, settings).folder / "results.json"
        record = json.loads(file.read_text()) | {"backbone": {"name": "RN50"}}
        file.write_text(json.dumps(record))
    assert [row[0] for row in tables(sweep, settings)[0][0].rows()] == ["CoOp (Embedded)", "PTNL (RN50)"]


def test_the_picture_has_a_panel_a_table_and_a_line_a_method(tmp_path, monkeypatch):
    sweep = sweep_of()
    found, _ = tables(sweep, write(sweep, tmp_path, lambda v, rate, seed: 80.0 - 40 * rate + seed))
    drawn = []
    monkeypatch.setattr(noise_plots.figures, "save", lambda figure, *_: drawn.append(figure))
    noise_plots.plot(found, tmp_path)
    axes = drawn[0].axes
    assert [ax.get_title() for ax in axes] == ["Digits, sym_other", "Digits, idn"]
    assert [line.get_ydata().tolist() for line in axes[0].lines] == [[81.5, 61.5], [81.5, 61.5], [81.0, 81.0]]
    assert axes[1].lines[0].get_xdata().tolist() == [0.0, 40.0]
    legend = drawn[0].legends[-1]
    assert [t.get_text() for t in legend.get_texts()] == ["CoOp", "PTNL-GCE", "ZeroshotCLIP"]
    extent = legend.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= drawn[0].bbox.width


def test_the_command(tmp_path, capsys):
    sweep = sweep_of(["CoOp", "ZeroshotCLIP"])
    write(sweep, tmp_path / "out", lambda *_: 70.0)
    options = ["--datasets", "digits", "--types", "sym_other:0,0.5", "idn:0.4", "--seeds", "1", "2", "--tables-only",
               "--output", str(tmp_path / "out")]  # fmt: skip
    files = ["--markdown", str(tmp_path / "t.md"), "--plots", str(tmp_path / "plots")]
    assert noise.main(["--methods", "CoOp", "ZeroshotCLIP", *options, *files]) == 0
    assert "Digits, idn" in capsys.readouterr().out
    assert "| CoOp" in (tmp_path / "t.md").read_text()
    assert sorted(f.name for f in (tmp_path / "plots").iterdir()) == ["noise.pdf", "noise.png"]
    assert noise.main(["--methods", "PTNL", *options]) == 1  # nothing is there
    assert noise.main(["--methods", "PTNLX", *options]) == 2
    assert "nearest first: PTNL" in capsys.readouterr().err


def test_the_rows_of_dpseps_ablation(tmp_path):
    rows = dpsep_ablation.rows()
    assert len({v.folder for v in rows}) == len(rows) == 12 and all(len(v.cells) == 3 for v in rows)
    found = {}
    for v in rows[1:]:
        node = train.setup_cfg(train.build_parser().parse_args(["--trainer", v.method, *v.pairs])).TRAINER.DPSEP
        dual = {node.USE_APOS, node.USE_ANEG, node.USE_MC}
        assert len(dual) == 1  # the three alignment terms go together
        sep = (node.SEP_SIGN, node.SEP_SIGMA) if node.USE_SEP else None
        found[v.cells] = (node.REDUCTION if dual.pop() else None, sep)
    assert found["CE", "", ""] == (None, None) and found["DP", "", "sum"] == ("sum", None)
    assert found["SEP, sigma 0", "printed", ""] == (None, ("printed", 0.0))
    assert found["SEP", "intent", ""] == (None, ("intent", 0.05))
    assert found["DP-SEP", "intent", "sum"] == ("sum", ("intent", 0.05))
    assert len(set(found.values())) == len(found)
    write(replace(sweep_of(types={"sym_other": [0.5, 0.8]}), variants=rows), tmp_path, lambda *_: 50.0)
    options = ["--datasets", "digits", "--seeds", "1", "2", "--output", str(tmp_path), "--tables-only"]
    assert dpsep_ablation.main([*options, "--markdown", str(tmp_path / "t.md")]) == 0
    assert len((tmp_path / "t.md").read_text().splitlines()) == 4 + len(rows) + 2
