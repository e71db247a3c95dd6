"""No number of any table is of runs that differ in more than the seed, without a word."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from result_files import folder_of, write_attacked, write_result
from study_runs import suite_of

import parse_test_res
from bench.__main__ import main as bench_main
from bench.drawing import table
from bench.drawing.base_new import accuracies, rows
from bench.reading.aggregate import aggregate
from bench.reading.collect import collect
from bench.studies import noise, noise_xd, sar
from bench.studies.ablation import section
from bench.studies.adversarial import main as adversarial
from bench.studies.generalization import main as generalization
from bench.studies.rows import rows_of
from runs.protocols import Settings
from runs.robust_protocol import robust_folder

CONFIG = {
    "SEED": 1, "OUTPUT_DIR": "out/seed1", "TASK": "B2N", "OPTIM": {"LR": 0.002, "MAX_EPOCH": 50},
    "DATASET": {"ROOT": "data", "SUBSAMPLE_CLASSES": "all", "NOISE": {"TYPE": "", "RATE": 0.0}},
    "MODEL": {"BACKBONE": {"NAME": "ViT-B/16", "PATH": "", "VISUAL_WEIGHTS": ""}}, "LOSS": {"NAME": "ce"},
    "TEST": {"ADV_SET": ""}, "TRAINER": {"NAME": "CoOp", "COOP": {"N_CTX": 16, "PREC": "fp32"}},
    "INPUT": {"SIZE": [224, 224]},
}  # fmt: skip
NOISE = {"type": "sym_other", "rate": 0.9, "seed": 2, "sha256": "cafe"}
ATTACK = {"key": "k", "attack": "pgd", "eps": "4/255", "mode": "transfer", "parameters": [{"steps": 10}]}
WEIGHTS = {"name": "ViT-B/16", "path": "", "sha256": "cd" * 32}
# What may differ: (config pair, what differs in the record beside it), and what a table has to say.
DIFFERENCES = {
    "rate of learning": ({"OPTIM.LR": 0.001}, {}, "OPTIM.LR 0.001"),
    "epochs": ({"OPTIM.MAX_EPOCH": 4}, {}, "OPTIM.MAX_EPOCH 4"),
    "method's own": ({"TRAINER.COOP.N_CTX": 4}, {}, "TRAINER.COOP.N_CTX 4"),
    "loss": ({"LOSS.NAME": "gce"}, {}, "LOSS.NAME gce"),
    "task": ({"TASK": "FS"}, {}, "TASK FS"),
    "list": ({"INPUT.SIZE": [112, 112]}, {}, "INPUT.SIZE [112, 112]"),
    "tower": ({"MODEL.BACKBONE.VISUAL_WEIGHTS": "x.pt"}, {}, "MODEL.BACKBONE.VISUAL_WEIGHTS x.pt"),
    "weights": ({}, {"backbone": WEIGHTS}, "backbone weights cdcdcdcdcdcd"),
    "precision": ({}, {"precision": "amp"}, "precision amp"),
    "test images": ({}, {"data": {"test": {"sha256": "beef"}, "classes": "c"}}, "test list 2"),
    "wrong labels": ({"DATASET.NOISE.TYPE": "sym_other"}, {"noise": NOISE}, "sym_other 90 %"),
    "attacked": ({"TEST.ADV_SET": "make"}, {"adversarial": ATTACK}, "attacked by pgd-eps4-10"),
    "validation": ({}, {"split": "val"}, "validation images"),
}  # fmt: skip
NO_DIFFERENCE = [{"SEED": 2}, {"OUTPUT_DIR": "elsewhere/seed2"}, {"DATASET.ROOT": "/d"}, {"MODEL.BACKBONE.PATH": "b"}]


def config(**pairs: object) -> dict:
    found = json.loads(json.dumps(CONFIG))
    for key, value in pairs.items():
        *path, leaf = key.split(".")
        node = found
        for part in path:
            node = node[part]
        node[leaf] = value
    return found


def write(
    folder: Path, seed: int, accuracy: float, half: str = "all", pairs: dict | None = None, name: str = "Digits", **more
) -> Path:
    known = {"precision": "fp32", "data": {"test": {"sha256": half}, "classes": "c"}}
    own = config(**{"DATASET.SUBSAMPLE_CLASSES": half, "SEED": seed} | (pairs or {}))
    about = {"subsample_classes": half, "config": own} | known | more
    return write_result(folder, "CoOp", name, seed, accuracy, **about)


def base2new(output: Path, seed: int, base: float, new: float, pairs: dict | None = None, **more) -> None:
    for part, value, half in (("base2new_train", base, "base"), ("base2new_test", new, "new")):
        write(folder_of(output, part, "CoOp", "digits", seed), seed, value, half, pairs, **more)


def cells(output: Path) -> dict[str, list[str]]:
    """{method: Base, New, HM, seeds} of bench.table."""
    return {row[1]: row[2:] for row in rows(accuracies(collect(output), []))}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_run_of_other_settings_has_a_row_of_its_own(name, tmp_path, capsys):
    pairs, more, told = DIFFERENCES[name]
    base2new(tmp_path, 1, 80.0, 60.0)
    base2new(tmp_path, 2, 82.0, 62.0)
    base2new(tmp_path, 3, 20.0, 10.0, pairs, **more)
    assert table.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert told in out and "34.00" not in out
    found = cells(tmp_path)
    alike, (other,) = ([row for method, row in found.items() if (told in method) is wanted] for wanted in (False, True))
    assert alike[0][0] == "81.00 ± 1.41" and alike[0][3] == "2" and other[0] == "20.00" and other[3] == "1"
    # the means of `collect` have each number once, and none over all three
    attacked = name == "attacked"
    frame = collect(tmp_path)
    means = pd.concat([aggregate(frame), aggregate(frame, "adv_accuracy")])
    base = means[means["part"] == "base"]
    assert sorted(base["mean"]) == [20.0, 81.0] and sorted(base["n"]) == [1, 2]
    assert set(frame["settings"].str.contains(told, regex=False)) == {True, False}
    if name == "wrong labels":
        assert set(frame["noise_type"]) == {"", "sym_other"} and set(frame["noise_rate"].dropna()) == {0.9}
    if attacked:
        here = frame[frame["attack"] == "pgd-eps4-10"]
        assert len(here) == 2 and here["accuracy"].isna().all() and set(here["mode"]) == {"transfer"}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_run_of_other_settings_has_a_row_of_its_own_in_an_ablation(name, tmp_path):
    pairs, more, told = DIFFERENCES[name]
    base2new(tmp_path, 1, 80.0, 60.0)
    base2new(tmp_path, 2, 20.0, 10.0, pairs, **more)
    suite = suite_of(sar.STUDY, "ablation", "--datasets", "digits", "--seeds", "1", "2", output=tmp_path)
    said: list[str] = []
    frame = rows_of(suite, said, checked=False)
    rows = [row for row in section(frame, suite, sar.TABLES["ablation"][1], ["step"], "").rows if row[4] != "0"]
    found = {row[0]: row[1:3] for row in rows}
    if name == "attacked":
        assert list(found.values()) == [["80.00", "60.00"]] and len(said) == 2 and told in said[0]
        return
    assert sorted(found.values()) == [["20.00", "10.00"], ["80.00", "60.00"]] and not said
    assert [told in label for label, (base, _) in found.items() if base == "20.00"] == [True]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_one_sentence_where_there_is_one_number_only(name, tmp_path, capsys):
    """Logs of one folder."""
    pairs, more, _ = DIFFERENCES[name]
    base2new(tmp_path, 1, 80.0, 60.0)
    base2new(tmp_path, 2, 20.0, 10.0, pairs, **more)
    folder = folder_of(tmp_path, "base2new_train", "CoOp", "digits", 1).parent
    assert parse_test_res.main([str(folder), "--exact"]) == 2
    assert f"mean of {folder}" in (said := capsys.readouterr()).err and "Summary" not in said.out
    for seed in (1, 2):
        (folder / f"seed{seed}" / "log.txt").write_text(f"Finish training\n* accuracy: {seed}.0%\n")
    assert parse_test_res.main([str(folder)]) == 2


@pytest.mark.parametrize("pairs", NO_DIFFERENCE, ids=lambda pairs: next(iter(pairs)))
def test_what_changes_no_number_tells_nothing_apart(pairs, tmp_path):
    base2new(tmp_path, 1, 80.0, 60.0)
    base2new(tmp_path, 2, 82.0, 62.0, pairs)
    assert cells(tmp_path) == {"CoOp": ["81.00 ± 1.41", "61.00 ± 1.41", "69.59 ± 1.44", "2"]}
    assert set(collect(tmp_path)["settings"]) == {""}


def test_records_of_older_versions_stay_as_they_are(tmp_path):
    """They have no config, or one without keys that came later."""
    base2new(tmp_path, 1, 80.0, 60.0)
    base2new(tmp_path, 2, 82.0, 62.0, config={}, precision=None, data=None)
    older = config()
    del older["LOSS"]
    base2new(tmp_path, 3, 84.0, 64.0, config=older)
    assert list(cells(tmp_path)) == ["CoOp"] and cells(tmp_path)["CoOp"][3] == "3"


# ---------------------------------------------------------------------- base and new


def train(output: Path, seed: int, accuracy: float, weights: bytes, pairs: dict | None = None, **more) -> Path:
    folder = folder_of(output, "base2new_train", "CoOp", "digits", seed)
    write(folder, seed, accuracy, "base", pairs, **more)
    (folder / "prompt_learner").mkdir(exist_ok=True)
    (folder / "prompt_learner" / "model.pth.tar-50").write_bytes(weights)
    return folder


def test_new(output: Path, seed: int, accuracy: float, weights: bytes, model: Path, pairs: dict | None = None, **more):
    own = hashlib.sha256(f"prompt_learner {hashlib.sha256(weights).hexdigest()}\n".encode()).hexdigest()[:16]
    more = {"mode": "test", "model_dir": str(model), "model_sha256": own} | more
    write(folder_of(output, "base2new_test", "CoOp", "digits", seed), seed, accuracy, "new", pairs, **more)


test_new.__test__ = False


def test_new_of_a_model_that_was_trained_again_is_not_beside_its_base(tmp_path, capsys):
    for seed in (1, 2):
        test_new(tmp_path, seed, 60.0, b"first", train(tmp_path, seed, 80.0, b"first"))
    assert cells(tmp_path)["CoOp"][3] == "2"
    train(tmp_path, 1, 90.0, b"second", {"OPTIM.MAX_EPOCH": 50})
    assert table.main([str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert cells(tmp_path) == {"CoOp": ["80.00", "60.00", f"{2 * 80 * 60 / 140:.2f}", "1"]}
    assert "an older model" in said.err and "seed 1 left out" in said.err
    assert aggregate(collect(tmp_path)).set_index(["part", "settings"]).loc[("hm", ""), "n"] == 1


def test_without_weights_the_times_tell(tmp_path):
    early, late = "2026-01-02T03:04:05+0000", "2026-01-02T05:04:06+0200"  # a second later
    folder = train(tmp_path, 1, 80.0, b"x", finished=early)
    (folder / "prompt_learner" / "model.pth.tar-50").unlink()
    test_new(tmp_path, 1, 60.0, b"x", folder, finished=late)
    assert cells(tmp_path)["CoOp"][3] == "1"
    write(folder, 1, 80.0, "base", finished="2026-01-02T03:04:07+0000")
    assert cells(tmp_path) == {}


@pytest.mark.parametrize("there", [True, False])
def test_a_test_of_another_seeds_model_is_no_seed_of_its_own(there, tmp_path):
    folders = [train(tmp_path, seed, 80.0, b"x") for seed in (1, 2, 3)]
    for seed, model in zip((1, 2, 3), (folders[0], folders[1], folders[0]), strict=True):
        test_new(tmp_path, seed, 60.0 + seed, b"x", model)
    if there:
        assert cells(tmp_path)["CoOp"][1:] == ["61.50 ± 0.71", "69.54 ± 0.45", "2"]
        return
    for folder in folders:
        (folder / "results.json").unlink()
    assert collect(tmp_path).set_index("seed")["settings"].to_dict() == {1: "", 2: "", 3: "the model of seed 1"}


def test_tests_without_pairs_are_told_apart_by_their_training(tmp_path):
    for seed, rate in ((1, 0.001), (2, 0.002)):
        test_new(tmp_path, seed, 60.0, b"x", train(tmp_path, seed, 80.0, b"x", {"OPTIM.LR": rate}))
    told = {"OPTIM.LR 0.001", "OPTIM.LR 0.002"}
    assert set(cells(tmp_path)) == {f"CoOp ({word})" for word in told}
    assert set(collect(tmp_path / "base2new" / "test_new")["settings"]) == told


def test_new_of_another_training_is_not_beside_base(tmp_path):
    elsewhere = train(tmp_path / "elsewhere", 1, 90.0, b"y", {"OPTIM.LR": 0.001})
    train(tmp_path, 1, 80.0, b"x")
    test_new(tmp_path, 1, 60.0, b"y", elsewhere)
    assert cells(tmp_path) == {}


def test_a_test_is_of_what_its_model_was_trained_with(tmp_path):
    """The scripts' test takes no pairs of the training: its own config says nothing of it."""
    for seed, rate in ((1, 0.001), (2, 0.002)):
        noise_ = {"noise": NOISE} if seed == 2 else {}
        folder = train(tmp_path, seed, 80.0 + seed, b"x", {"OPTIM.LR": rate}, **noise_)
        test_new(tmp_path, seed, 60.0 + seed, b"x", folder)
    assert {name: row[:2] for name, row in cells(tmp_path).items()} == {
        "CoOp": ["81.00", "61.00"],
        "CoOp (sym_other 90 %)": ["82.00", "62.00"],
    }
    assert set(collect(tmp_path)["settings"]) == {"", "sym_other 90 %"}
    # results that were moved: the training is found beside the test, in any folder of the tree
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}_moved"))
    assert list(cells(moved)) == ["CoOp", "CoOp (sym_other 90 %)"]
    assert set(collect(moved / "base2new" / "test_new")["settings"]) == {"", "sym_other 90 %"}


def test_base_new_and_hm_are_over_the_seeds_that_have_both(tmp_path, capsys):
    base2new(tmp_path, 1, 80.0, 60.0)
    write(folder_of(tmp_path, "base2new_train", "CoOp", "digits", 2), 2, 90.0, "base")
    assert table.main([str(tmp_path)]) == 0
    assert "seed 2 left out" in capsys.readouterr().err
    assert cells(tmp_path)["CoOp"] == ["80.00", "60.00", f"{2 * 80 * 60 / 140:.2f}", "1"]
    hm = aggregate(collect(tmp_path)).set_index("part").loc["hm"]
    assert hm["mean"] == pytest.approx(2 * 80 * 60 / 140) and hm["n"] == 1


# ---------------------------------------------------------------------- every other reader


def test_a_folder_that_says_other_labels_images_or_classes_than_its_run(tmp_path):
    sym = ("sym_other", "0.5")
    for seed, noise_ in ((1, NOISE | {"rate": 0.5}), (2, NOISE | {"rate": 0.0}), (3, NOISE | {"type": "pair_next"})):
        write(folder_of(tmp_path, "noise_train", "CoOp", "digits", seed, sym), seed, 50.0, noise=noise_)
    frame = collect(tmp_path)
    seen = set(zip(frame["noise_type"], frame["noise_rate"], strict=True))
    assert seen == {("sym_other", 0.5), ("sym_other", 0.0), ("pair_next", 0.9)}
    half = folder_of(tmp_path, "few_shot", "CoOp", "digits", 1)
    write(half, 1, 90.0, "base")
    write(folder_of(tmp_path, "few_shot", "CoOp", "digits", 2), 2, 50.0, name="Textures")
    frame = collect(tmp_path)
    assert set(frame[frame["protocol"] == "few_shot"]["settings"]) == {"base classes", "dataset Textures"}


def test_label_noise_and_attacks_tell_apart_what_is_mixed(tmp_path, capsys):
    for protocol, dataset in (("noise_train", "digits"), ("noise_xd_train", "shapes"), ("noise_xd_test", "digits")):
        for seed, rate in ((1, 0.001), (2, 0.002)):
            folder = folder_of(tmp_path, protocol, "CoOp", dataset, seed, ("sym_other", "0.5"))
            more = {"name": dataset.title(), "noise": NOISE | {"rate": 0.5}}
            write(folder, seed, 50.0 + seed, pairs={"OPTIM.LR": rate}, **more)
    options = ["--tables-only", "--output", str(tmp_path), "--seeds", "1", "2", "--methods", "CoOp"]
    for call in (
        lambda: noise.main([*options, "--datasets", "digits", "--types", "sym_other:0.5"]),
        lambda: noise_xd.main([*options, "--source", "shapes", "--targets", "digits"]),
    ):
        assert call() == 0
        said = capsys.readouterr()
        assert "CoOp (OPTIM.LR 0.001)" in said.out and "51.50" not in said.out
    for seed, rate in ((1, 0.001), (2, 0.002)):
        folder = robust_folder(
            "CoOp", "digits", seed, Settings(output=str(tmp_path), pairs=("4", "10", "W", "ATTACK.NAME", "pgd"))
        )
        file = write_attacked(
            folder, "CoOp", "Digits", seed, "white-box", clean=80.0, transfer=60.0, own=20.0, worst=15.0
        )
        record = json.loads(file.read_text()) | {"images": 10, "checks": [], "label": "static"}
        file.write_text(json.dumps(record))
        (folder / "config.yaml").write_text(
            f"# settings: {json.dumps({'OPTIM.LR': rate, 'SEED': seed})}\nMODEL: {{}}\n"
        )
        write(folder_of(tmp_path, "few_shot", "CoOp", "digits", seed), seed, 50.0, pairs={"OPTIM.LR": rate})
    assert adversarial([*options, "--datasets", "digits", "--eps", "4", "--steps", "10", "--modes", "W"]) == 0
    said = capsys.readouterr()
    assert "CoOp (OPTIM.LR 0.001)" in said.out and "20.0 ±" not in said.out
    assert set(collect(tmp_path)["settings"]) == {"OPTIM.LR 0.001", "OPTIM.LR 0.002"}


def test_the_summary_of_all_protocols(tmp_path, capsys):
    for seed, rate in ((1, 0.001), (2, 0.002)):
        base2new(tmp_path, seed, 80.0, 60.0, {"OPTIM.LR": rate})
        write(folder_of(tmp_path, "few_shot", "CoOp", "digits", seed), seed, 70.0 + 2 * seed, pairs={"OPTIM.LR": rate})
    assert generalization(["--tables-only", "--output", str(tmp_path), "--methods", "CoOp"]) == 0
    out = capsys.readouterr().out
    assert "CoOp (OPTIM.LR 0.001)" in out and "72.00" in out and "74.00" in out and "73.00" not in out


@pytest.mark.parametrize("command", ["compare", "report"])
def test_no_mixture_is_compared_or_reported(command, tmp_path, capsys):
    for seed, more in ((1, {}), (2, {"noise": NOISE})):
        for part, half in (("base2new_train", "base"), ("base2new_test", "new")):
            folder = folder_of(tmp_path, part, "CoOp", "eurosat", seed)
            write(folder, seed, 70.0 + 10 * seed, half, name="EuroSAT", **more)
    page = tmp_path / "page.html"
    options = ["--paper", "anprompt", "--table", "1", "--found", "--datasets", "eurosat", "--format", "csv"]
    assert bench_main([command, str(tmp_path), "--output", str(page), *(options if command == "compare" else [])]) == 0
    text = page.read_text()
    if command == "compare":
        found = pd.read_csv(page)
        assert set(found["ours"]) == {80.0} and set(found["n"]) == {1}
        assert found["remarks"].str.contains("sym_other 90 %").all()
    else:
        assert "CoOp (sym_other 90 %)" in text and "85.00" not in text
