"""Every results.json as a row: where it lies and what it says; means over seeds and over datasets."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from result_files import GIT, folder_of, write_attacked, write_result

from bench.__main__ import main as bench_main
from bench.reading.accounts import account
from bench.reading.aggregate import aggregate, average
from bench.reading.collect import COLUMNS, collect
from bench.reading.files import find, open_record, read_record
from bench.reading.layout import dataset_name, place
from dassl.utils import InputError
from runs.protocols import Settings
from runs.robust_protocol import robust_folder


def main(argv: list[str]) -> int:
    """`python -m bench collect ...`; the exit code."""
    return bench_main(["collect", *argv])


SYM = ("sym_other", "0.125")


def test_every_protocols_folder_is_understood(tmp_path):
    expected = {
        # protocol, method, dataset, pairs, settings: protocol, part, source, shots, noise type, rate, attack, mode
        ("base2new_train", "CoOp", "dtd"): ("base2new", "base", "dtd", 16, "", None, "", ""),
        ("base2new_test", "CoOp", "dtd"): ("base2new", "new", "dtd", 16, "", None, "", ""),
        ("xd_train", "CoOp", "imagenet"): ("cross_dataset", "source", "imagenet", 16, "", None, "", ""),
        ("xd_test", "CoOp", "dtd"): ("cross_dataset", "target", "imagenet", 16, "", None, "", ""),
        ("dg_test", "CoOp", "shapes_sketch"): ("cross_dataset", "target", "shapes", 16, "", None, "", ""),
        ("few_shot", "CoOp", "dtd"): ("few_shot", "all", "dtd", 16, "", None, "", ""),
        ("noise_train", "CoOp", "dtd", SYM): ("noise", "all", "dtd", 16, "sym_other", 0.125, "", ""),
        ("noise_xd_train", "CoOp", "shapes", SYM): ("noise_xd", "source", "shapes", 16, "sym_other", 0.125, "", ""),
        ("noise_xd_test", "CoOp", "digits", SYM): ("noise_xd", "target", "shapes", 16, "sym_other", 0.125, "", ""),
        ("real_noise_train", "CoOp", "webvision"): ("real_noise", "all", "webvision", 16, "real", None, "", ""),
        ("test_time", "RTPT", "digits"): ("test_time", "all", "", 0, "", None, "", ""),
        ("test_time", "RTPT", "digits", ("4", "100")): (
            "test_time", "all", "", 0, "", None, "pgd-eps4-100", "transfer",
        ),
    }  # fmt: skip
    for (protocol, method, dataset, *pairs), facts in expected.items():
        for prefix, variant in (("", ""), ("variants/N_CTX=4", "N_CTX=4"), ("lambda/0.1", "lambda/0.1")):
            folder = folder_of(tmp_path / prefix, protocol, method, dataset, 3, *pairs)
            found = place(str(folder.relative_to(tmp_path)))
            rate = None if math.isnan(found.noise_rate) else found.noise_rate
            seen = (found.protocol, found.part, found.source, found.shots, found.noise_type, rate)
            assert (*seen, found.attack, found.mode) == facts
            assert (found.method, found.dataset, found.seed, found.variant) == (method, dataset, 3, variant)
            assert found.cfg == folder.parent.name or f"{found.cfg}_16shots" in folder.parts


def test_folders_that_only_some_settings_have(tmp_path):
    few = place(str(folder_of(tmp_path, "few_shot", "ZeroshotCLIP", "digits", 1).relative_to(tmp_path)))
    assert few.shots == 0
    whole = folder_of(tmp_path, "real_noise_test", "CoOp", "webvision", 1, shots=-1)
    found = place(str(whole.relative_to(tmp_path)))
    assert (found.dataset, found.source, found.shots) == ("webvision_ilsvrc12_val", "webvision", -1)
    for method, pairs, mode, source in (("CoOp", ("4", "10"), "white-box", "digits"), ("RTPT", (), "adaptive", "")):
        folder = robust_folder(
            method, "digits", 1, Settings(output=str(tmp_path), pairs=(*pairs, "ATTACK.SUBSET", "20"))
        )
        found = place(str(folder.relative_to(tmp_path)))
        assert (found.protocol, found.mode, found.source) == ("robust", mode, source)
        assert found.attack == f"pgd-eps4-{pairs[1] if pairs else 100}-n20"
    assert place("output/somewhere/seed1") is None


def test_rows_say_what_the_records_say(tmp_path):
    folder = folder_of(tmp_path, "noise_train", "PTNL", "digits", 2, SYM)
    write_result(folder, "PTNL", "Digits", 2, 100 / 3, noise={"type": "sym_other", "rate": 0.125, "sha256": "cafe"})
    attacked = robust_folder("CoOp", "digits", 1, Settings(output=str(tmp_path), pairs=("4", "10")))
    write_attacked(attacked, "CoOp", "Digits", 1, "white-box", clean=80.0, transfer=60.0, own=20.0, worst=15.0)
    adv = folder_of(tmp_path, "test_time", "RTPT", "digits", 1, ("4", "100"))
    write_result(adv, "RTPT", "Digits", 1, 41.0)
    write_result(tmp_path / "mine" / "first" / "seed5", "CoOp", "DescribableTextures", 5, 50.0, top5_accuracy=1)
    write_result(tmp_path / "mine" / "built" / "seed1", "CoOp", "Digits", 1, None)  # --no-train
    frame = collect(tmp_path)
    assert list(frame.columns) == list(COLUMNS) and list(frame["protocol"]) == ["noise", "other", "robust", "test_time"]
    noise, other, robust, time_ = (frame.iloc[i] for i in range(4))
    assert noise["folder"] == "noise/digits/sym_other_r0125/shots_16/PTNL/embedded/seed2"
    assert noise["accuracy"] == 100 / 3 and noise["macro_f1"] == 100 / 3 - 1 and math.isnan(noise["adv_accuracy"])
    assert noise["noise_hash"] == "cafe" and noise["git"] == GIT and noise["seconds"] == 12.5
    assert noise["peak_memory_bytes"] == 2**31 + 1 and noise["seed"] == 2 and noise["backbone"] == "ViT-B/16"
    assert (robust["accuracy"], robust["adv_accuracy"]) == (80.0, 20.0) and robust["backbone"] == "RN50"
    assert (robust["transfer_accuracy"], robust["worst_accuracy"]) == (60.0, 15.0) and pd.isna(robust["macro_f1"])
    assert math.isnan(time_["accuracy"]) and time_["adv_accuracy"] == 41.0 and time_["attack"] == "pgd-eps4-100"
    assert (other["dataset"], other["variant"], other["part"]) == ("dtd", "mine/first", "all")


def test_walking_passes_over_hidden_folders_and_loops(tmp_path):
    write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    write_result(tmp_path / ".bench" / "seed1", "CoOp", "Digits", 1, 50.0)
    (tmp_path / "few_shot" / "again").symlink_to(tmp_path)
    elsewhere = tmp_path.parent / f"{tmp_path.name}_scratch"
    write_result(folder_of(elsewhere, "few_shot", "CoOp", "letters", 1), "CoOp", "Letters", 1, 60.0)
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants" / "scratch").symlink_to(elsewhere)  # results on another disk are followed
    assert [folder.split("/")[0] for folder, _ in find(tmp_path)] == ["few_shot", "variants"]
    with pytest.raises(InputError, match="nowhere"):
        collect(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ['{"trainer": "CoOp", "data', "[]", "", '{"trainer": "CoOp"}', "null"])
def test_a_broken_file_is_named_and_the_others_are_kept(tmp_path, text, capsys):
    write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    bad = write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", 2), "CoOp", "Digits", 2, 50.0)
    bad.write_text(text)
    csv = tmp_path / "out" / "all.csv"
    assert main([str(tmp_path), "--csv", str(csv)]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and str(bad) in error[0]
    assert list(pd.read_csv(csv)["seed"]) == [1]
    csv.unlink()
    assert main([str(tmp_path), "--csv", str(csv), "--strict"]) == 2
    assert not csv.exists() and str(bad) in capsys.readouterr().err


@pytest.mark.parametrize("accuracy", ["50", True, math.nan])
def test_an_accuracy_that_is_no_number_is_broken(tmp_path, accuracy):
    file = write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    record = json.loads(file.read_text())
    record["results"]["accuracy"] = accuracy
    file.write_text(json.dumps(record))
    broken: list[str] = []
    assert collect(tmp_path, broken).empty and "accuracy is" in broken[0]


def test_bad_input_is_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2 and "no results" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2 and "no folder" in capsys.readouterr().err
    write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path), "--means", str(tmp_path / "m.csv"), "--csv", str(tmp_path / "file" / "x.csv")]) == 2
    assert "is a file, not a folder" in capsys.readouterr().err and not (tmp_path / "m.csv").exists()


def test_csv_and_parquet_keep_every_digit(tmp_path, capsys):
    values = {1: 100 / 3, 2: 66.66666666666667, 3: 0.1 + 0.2}
    for seed, value in values.items():
        write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", seed), "CoOp", "Digits", seed, value)
    files = {name: tmp_path / f"all.{name}" for name in ("csv", "parquet")}
    options = [x for name, file in files.items() for x in (f"--{name}", str(file))]
    assert main([str(tmp_path), *options, "--means", str(tmp_path / "means.csv")]) == 0
    assert "few_shot" in capsys.readouterr().out
    frame = collect(tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(files["parquet"]), frame)
    assert list(pd.read_csv(files["csv"], float_precision="round_trip")["accuracy"]) == list(values.values())
    assert (
        pd.read_csv(tmp_path / "means.csv", float_precision="round_trip")["mean"].item()
        == aggregate(frame)["mean"].item()
    )


def test_only_what_is_needed_is_read(tmp_path):
    per_class = {str(i): {"name": 'a "b": {', "accuracy": 50.0} for i in range(3)}
    results = {"accuracy": 50.0, "per_class": per_class, "top5_accuracy": 80.0}
    more = {"classnames": ["a", "]"], "config": {"DATASET": {"NAME": "Digits"}}}
    file = write_result(tmp_path / "seed1", "CoOp", "Digits", 1, 50.0, results=results, **more)
    whole = json.loads(file.read_text())
    found = read_record(file)
    assert (found["results"].pop("per_class"), found["classnames"], found["config"]) == ({}, [], {})
    assert whole["results"].pop("per_class") == per_class and found["results"] == whole["results"]
    assert {k: v for k, v in found.items() if k not in more} == {k: v for k, v in whole.items() if k not in more}
    file.write_text(json.dumps(whole))  # otherwise indented: read as it is
    assert read_record(file) == whole
    write_result(tmp_path / "seed1", "CoOp", "Digits", 1, 50.0, results={"accuracy": 50.0, "per_class": {}}, config={})
    assert read_record(file)["finished"] == whole["finished"]


def test_the_work_grows_with_the_number_of_results_alone(tmp_path, monkeypatch):
    """Every file is opened once, and no more is parsed of one than a table needs: ten times the results, of files as
    large as a thousand classes make them, are ten times the calls and bytes."""
    per_class = {str(i): {"name": "class", "total": 50, "correct": 25, "accuracy": 50.0} for i in range(1000)}
    results = {"accuracy": 50.0, "macro_f1": 49.0, "per_class": per_class}
    files = [
        write_result(tmp_path / "f" / f"seed{seed}", "CoOp", "ImageNet", seed, 50.0, results=results)
        for seed in range(10)
    ]
    assert files[0].stat().st_size > 150_000
    counted = Counter()
    read_bytes, loads, scandir = Path.read_bytes, json.loads, os.scandir

    def count(name, call, size=lambda value: 1):
        def counting(*args, **kwargs):
            counted[name] += size(args[0])
            return call(*args, **kwargs)

        return counting

    monkeypatch.setattr(Path, "read_bytes", count("files read", read_bytes))
    monkeypatch.setattr(json, "loads", count("bytes parsed", loads, len))
    monkeypatch.setattr(os, "scandir", count("folders listed", scandir))
    work = {}
    for number in (1000, 10_000):
        output = tmp_path / str(number)
        for i in range(number):
            folder = output / f"few_shot/set{i % 10}/shots_{i // 10 % 10}/CoOp/cfg{i // 1000}/seed{i // 100 % 10}"
            folder.mkdir(parents=True)
            os.link(files[i // 100 % 10], folder / "results.json")
        counted.clear()
        frame = collect(output)
        assert len(frame) == frame["folder"].nunique() == number and set(frame["accuracy"]) == {50.0}
        work[number] = dict(counted)
    assert work[1000]["files read"] == 1000 and work[10_000]["files read"] == 10_000
    assert work[10_000]["bytes parsed"] <= 10 * work[1000]["bytes parsed"] < 20 * 1000 * 1000
    assert work[10_000]["folders listed"] <= 10 * work[1000]["folders listed"] < 20 * 1000


# ---------------------------------------------------------------------- means


def fill(output, base=(80.0, 82.0, 84.0), new=(60.0, 61.0, 65.0), dataset="digits", **more):
    for part, values, half in (("base2new_train", base, "base"), ("base2new_test", new, "new")):
        for seed, value in enumerate(values, start=1):
            folder = folder_of(output, part, "CoOp", dataset, seed, **more)
            write_result(folder, "CoOp", dataset.title(), seed, value, subsample_classes=half)


def test_over_seeds(tmp_path):
    fill(tmp_path)
    found = aggregate(collect(tmp_path)).set_index("part")
    assert list(found["n"]) == [3, 3, 3] and list(found["mean"])[:2] == [82.0, 62.0]
    assert found.loc["base", "std"] == 2.0 and found.loc["new", "std"] == pytest.approx(math.sqrt(7))
    # Student's t of two degrees of freedom, 97.5 %: 4.302653
    assert found.loc["base", "ci95"] == pytest.approx(4.302653 * 2 / math.sqrt(3), rel=1e-6)
    assert found.loc["hm", "mean"] == pytest.approx(2 * 82 * 62 / (82 + 62))  # of the means, not the mean of three
    own = [2 * b * n / (b + n) for b, n in ((80, 60), (82, 61), (84, 65))]
    assert found.loc["hm", "std"] == pytest.approx(pd.Series(own).std())


def test_one_seed_has_no_spread(tmp_path):
    fill(tmp_path, base=(80.0,), new=(0.0,))
    found = aggregate(collect(tmp_path)).set_index("part")
    assert list(found["n"]) == [1, 1, 1] and found[["std", "ci95"]].isna().all(axis=None)
    assert found.loc["hm", "mean"] == 0


def test_over_datasets_hm_is_of_the_averages(tmp_path):
    fill(tmp_path, base=(90.0, 92.0), new=(10.0, 10.0))
    fill(tmp_path, base=(10.0, 12.0), new=(90.0, 90.0), dataset="letters")
    frame = collect(tmp_path)
    found = average(frame, ["digits", "letters"]).set_index("part")
    assert found.loc["base", "mean"] == 51.0 and found.loc["new", "mean"] == 50.0
    assert found.loc["base", "std"] == pytest.approx(math.sqrt(2))  # the seeds' averages are 50 and 52
    assert found.loc["hm", "mean"] == pytest.approx(2 * 51 * 50 / 101) and found.loc["hm", "n"] == 2
    assert average(frame, ["digits", "letters", "textures"]).empty


def test_over_datasets_with_seeds_missing_on_one(tmp_path):
    fill(tmp_path, base=(80.0, 84.0), new=(60.0, 60.0))
    fill(tmp_path, base=(40.0,), new=(20.0, 20.0), dataset="letters")
    found = average(collect(tmp_path), ["digits", "letters"]).set_index("part")
    assert found.loc["base", "mean"] == 60.0 and found.loc["base", "n"] == 1  # of the one seed that has 80 and 40
    assert found.loc["new", "mean"] == 40.0 and found.loc["new", "n"] == 2


def test_averages_over_published_configs_that_differ_by_dataset(tmp_path):
    fill(tmp_path, base=(80.0,), new=(60.0,), dataset="imagenet")  # CoOp takes another config for ImageNet
    fill(tmp_path, base=(40.0,), new=(20.0,), dataset="dtd")
    fill(tmp_path, base=(1.0,), new=(1.0,), dataset="dtd", cfg="a_trial")
    frame = collect(tmp_path)
    assert frame["cfg"].nunique() == 3
    assert average(frame, ["imagenet", "dtd"]).set_index("part")["mean"].to_dict()["base"] == 60.0


def test_nothing_in_nothing_out(tmp_path):
    (tmp_path / "empty").mkdir()
    frame = collect(tmp_path / "empty")
    assert frame.empty and list(frame.columns) == list(COLUMNS)
    assert aggregate(frame).empty and average(frame, ["digits"]).empty


def test_images_of_ones_own_are_called_as_their_config(monkeypatch):
    names = {"my_images": "Folder", "folder": "Folder", "oxford_pets": "OxfordPets"}
    monkeypatch.setattr("bench.reading.layout.names_of_configs", lambda: names)
    told = [dataset_name(name) for name in ("my_images", "folder", "oxford_pets", "average of 3")]
    assert told == ["my_images", "Folder", "OxfordPets", "average of 3"]


def test_seeds_and_folders_are_no_settings(tmp_path):
    """Runs that differ in the seed, also within the name of another folder, have one mark; a setting makes another."""

    def mark(seed: int, shots: int) -> str:
        dataset = {"ROOT": f"data{seed}", "SUBSAMPLE_CLASSES": ("base", "new")[seed % 2], "NUM_SHOTS": shots}
        own = {"TAPT": {"FROM": f"output/IVLP/seed{seed}/x"}}
        config = {"SEED": seed, "OUTPUT_DIR": f"out/seed{seed}", "RESUME": f"r{seed}"}
        config |= {"DATASET": dataset, "TRAINER": own}
        file = write_result(tmp_path / f"{shots}" / f"seed{seed}", "CoOp", "Digits", seed, 50.0, config=config)
        return account(file, *open_record(file)).mark

    assert len({mark(seed, 16) for seed in (1, 2, 13)}) == 1 and mark(1, 16) != mark(1, 4)
