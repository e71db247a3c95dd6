"""Label noise across datasets: the jobs, the table, and a real run from training to table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.running import launch
from bench.studies.noise_plan import read_variants
from bench.studies.noise_xd import Crossing, main, sections
from runs.protocols import Settings

METHODS = ("ZeroshotCLIP", "CoOp", "PTNL")


def crossing(methods=METHODS, rates=(0.0, 0.5), seeds=(1, 2)) -> Crossing:
    return Crossing(read_variants(methods), "shapes", ["digits", "letters"], "sym_other", rates, seeds)


def fill(settings: Settings, accuracy: dict, manifest=lambda method, rate, seed: f"{rate}-{seed}") -> None:
    """Results of all steps. accuracy: {dataset: of seed 1}; each further seed has 2 more, CoOp 10 more."""
    for job in crossing().jobs(settings):
        for step in job:
            _, rate, *_ = step.settings.pairs
            value = accuracy[step.dataset] + 2 * (step.seed - 1) + 10 * (step.method == "CoOp")
            noise = {"sha256": manifest(step.method, rate, step.seed)} if step.protocol == "noise_xd_train" else None
            record = {"results": {"accuracy": value}, "dataset": step.dataset, "noise": noise}
            step.folder.mkdir(parents=True)
            (step.folder / "results.json").write_text(json.dumps(record | {"backbone": {"name": "Embedded"}}))


def test_each_method_is_trained_once_for_all_targets():
    jobs = crossing().jobs(Settings())
    trained = [(j[0].method, j[0].settings.pairs[:2], j[0].seed) for j in jobs]
    assert len(trained) == len(set(trained)) == 1 + 2 * 2 * 2, "zero-shot once, two methods at two rates and seeds"
    assert all([s.protocol for s in j] == ["noise_xd_train", "noise_xd_test", "noise_xd_test"] for j in jobs)
    assert all(s.settings.source == "shapes" for j in jobs for s in j)
    assert [j[0].seed for j in jobs] == sorted(j[0].seed for j in jobs), "seed by seed"
    folders = [s.folder for j in jobs for s in j]
    assert len(set(folders)) == len(folders)


def test_the_table(tmp_path):
    settings = Settings(output=str(tmp_path))
    fill(settings, {"shapes": 60.0, "digits": 40.0, "letters": 20.0})
    (clean, noisy), refused = sections(crossing(), settings)
    assert not refused and clean.title == "shapes, sym_other, 0%" and noisy.title == "shapes, sym_other, 50%"
    assert noisy.headers == ["method", "shapes (source)", "digits", "letters", "average", "seeds"]
    assert noisy.rows[0] == ["ZeroshotCLIP", "60.00", "40.00", "20.00", "30.00", "1"]
    # 50 and 52: mean 51, sample deviation sqrt(2)
    assert noisy.rows[1] == ["CoOp", "71.00 ± 1.41", "51.00 ± 1.41", "31.00 ± 1.41", "41.00 ± 1.41", "2"]
    assert "sample standard deviation" in noisy.note and not clean.note


def test_a_seed_counts_in_the_average_when_all_targets_are_there(tmp_path):
    settings = Settings(output=str(tmp_path))
    fill(settings, {"shapes": 60.0, "digits": 40.0, "letters": 20.0})
    job = crossing().job(read_variants(["CoOp"])[0], 0.5, 2, settings)
    (job[2].folder / "results.json").unlink()
    row = sections(crossing(), settings)[0][1].rows[1]
    assert row == ["CoOp", "71.00 ± 1.41", "51.00 ± 1.41", "30.00", "40.00", "1"]
    (job[0].folder / "results.json").unlink()  # not trained to the end: what is there of its tests is older
    assert sections(crossing(), settings)[0][1].rows[1] == ["CoOp", "70.00", "50.00", "30.00", "40.00", "1"]


def test_rows_with_other_labels_are_refused(tmp_path):
    settings = Settings(output=str(tmp_path))
    odd = ("PTNL", "0.5", 2)
    fill(
        settings, {"shapes": 60.0, "digits": 40.0, "letters": 20.0}, lambda *run: "odd" if run == odd else str(run[1:])
    )
    (clean, noisy), refused = sections(crossing(), settings)
    assert [row[0] for row in noisy.rows] == ["ZeroshotCLIP", "CoOp"] and len(clean.rows) == 3
    (sentence,) = refused
    assert sentence.startswith("PTNL is left out of shapes, sym_other: at rate 0.5, seed 2")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "CoOpp"], "nearest first: CoOp"),
        (["--source", "dtd"], "--targets"),
        (["--targets", "digts"], "digits"),
        (["--targets", "shapes"], "leave it out of --targets"),
        (["--type", "sym"], "no noise type 'sym'"),
        (["--rates", "1.0"], "below 1"),
        (["--jobs", "0"], "at least 1"),
        (["--tables-only", "--output", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence(arguments, says, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and says in error[0]


def test_from_training_to_table(tiny, tmp_path, capsys):
    """Two methods on a noisy source and one target, all on the tiny dataset, in this process."""
    pairs = tiny.arguments(tmp_path)
    pairs = pairs[pairs.index("DATASET.NAME") :]
    skip = ("DATASET.NUM_SHOTS", "DATASET.SUBSAMPLE_CLASSES", "OPTIM.MAX_EPOCH")
    kept = [x for k, v in zip(pairs[::2], pairs[1::2], strict=True) if k not in skip for x in (k, v)]
    settings = Settings(
        data=str(tiny.root), shots=4, output=str(tmp_path),
        pairs=(*kept, "OPTIM.MAX_EPOCH", "1", "MODEL.BACKBONE.NAME", ""),
    )  # fmt: skip
    small = replace(crossing(("ZeroshotCLIP", "CoOp", "PTNL"), (0.5,), (1,)), targets=["digits"])
    jobs = small.jobs(settings)
    for job in jobs:
        assert launch.run_job(job, threads=1)[0] == []
    hashes = set()
    for train, test in jobs[1:]:
        trained, tested = (json.loads((s.folder / "results.json").read_text()) for s in (train, test))
        assert trained["noise"]["rate"] == 0.5 and tested["noise"] is None and tested["task"] == "CD"
        assert tested["model_dir"] == str(train.folder) and tested["results"]["total"] == 20
        counts = json.loads((test.folder / "confusion.json").read_text())["counts"]
        assert sum(map(sum, counts)) == 20 and sum(counts[i][i] for i in range(5)) == tested["results"]["correct"]
        hashes.add(trained["noise"]["sha256"])
    assert len(hashes) == 1
    (table,), refused = sections(small, settings)
    assert not refused and [row[0].split(" ")[0] for row in table.rows] == list(METHODS)
