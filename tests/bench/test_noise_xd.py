"""Label noise across datasets: the runs, the table, and a real run from training to table."""

from __future__ import annotations

import json

import pytest
from study_runs import finish, noise_of, run_study, suite_of
from suite_files import overrides

from bench.__main__ import main as bench
from bench.studies.noise_xd import NOTE, STUDY, main, sections, targets_of
from bench.studies.rows import rows_of

METHODS = ("ZeroshotCLIP", "CoOp", "PTNL")
WORDS = ["--methods", *METHODS, "--targets", "digits", "letters", "--rates", "0", "0.5", "--seeds", "1", "2"]


def value(step) -> float:
    """Each further seed has 2 more, CoOp 10 more."""
    first = {"shapes": 60.0, "digits": 40.0, "letters": 20.0}[step.dataset]
    return first + 2 * (step.seed - 1) + 10 * (step.method == "CoOp")


def shown(suite, wanted=None):
    return sections(rows_of(suite, [], checked=False), wanted or {})


def test_each_method_is_trained_once_for_all_targets():
    runs = suite_of(STUDY, *WORDS).runs
    trained = [(run.method, noise_of(run.job[0]), run.seed) for run in runs]
    assert len(trained) == len(set(trained)) == 1 + 2 * 2 * 2, "zero-shot once, two methods at two rates and seeds"
    assert all([s.protocol for s in run.job] == ["noise_xd_train", "noise_xd_test", "noise_xd_test"] for run in runs)
    assert all(step.settings.source == "shapes" for run in runs for step in run.job)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs), "seed by seed"
    folders = [folder for run in runs for folder in run.folders]
    assert len(set(folders)) == len(folders)


def test_the_table(tmp_path):
    suite = suite_of(STUDY, *WORDS, output=tmp_path)
    finish(suite, value)
    (clean, noisy), refused = shown(suite)
    assert not refused and clean.title == "Shapes, symmetric, 0%" and noisy.title == "Shapes, symmetric, 50%"
    assert noisy.headers == ["method", "Shapes (source)", "Digits", "Letters", "average", "seeds"]
    assert noisy.rows[0] == ["ZeroshotCLIP", "60.00", "40.00", "20.00", "30.00", "1"]
    # 50 and 52: mean 51, sample deviation sqrt(2)
    assert noisy.rows[1] == ["CoOp", "71.00 ± 1.41", "51.00 ± 1.41", "31.00 ± 1.41", "41.00 ± 1.41", "2"]
    assert "sample standard deviation" in NOTE


def test_a_seed_counts_in_the_average_when_all_targets_are_there(tmp_path):
    suite = suite_of(STUDY, *WORDS, output=tmp_path)
    finish(suite, value)
    (run,) = (r for r in suite.runs if r.method == "CoOp" and r.seed == 2 and noise_of(r.job[0])[1] == 0.5)
    (run.folders[2] / "results.json").unlink()
    assert shown(suite)[0][1].rows[1] == ["CoOp", "71.00 ± 1.41", "51.00 ± 1.41", "30.00", "40.00", "1"]
    (run.folders[0] / "results.json").unlink()  # not trained to the end: what is there of its tests is older
    assert shown(suite)[0][1].rows[1] == ["CoOp", "70.00", "50.00", "30.00", "40.00", "1"]


def test_a_target_without_results_leaves_the_average_open(tmp_path):
    """After an interruption: an average of fewer targets than were asked for would stand under their name."""
    suite = suite_of(STUDY, *WORDS, output=tmp_path)
    finish(suite, value)
    for run in suite.runs:
        (run.folders[2] / "results.json").unlink()
    assert targets_of(suite) == {"shapes": ["digits", "letters"]}
    (clean, _), _ = shown(suite, targets_of(suite))
    assert clean.headers[1:5] == ["Shapes (source)", "Digits", "Letters", "average"]
    assert clean.rows[0] == ["ZeroshotCLIP", "60.00", "40.00", "-", "-", "0"]
    for run in suite.runs:
        (run.folders[1] / "results.json").unlink()
    assert shown(suite)[0][0].rows[0] == ["ZeroshotCLIP", "60.00", "-", "0"]


def test_rows_with_other_labels_are_refused(tmp_path):
    suite = suite_of(STUDY, *WORDS, output=tmp_path)
    finish(suite, value, lambda s: "odd" if (s.method, noise_of(s)[1], s.seed) == ("PTNL", 0.5, 2) else "")
    (clean, noisy), refused = shown(suite)
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


def test_from_training_to_table(tiny, tmp_path, monkeypatch, capsys):
    """Methods on a noisy source and one target, all on the tiny dataset; then what the suite's commands see of it."""
    monkeypatch.setenv("SHOTS", "4")
    pairs = [word for pair in overrides(tiny).items() for word in map(str, pair)]
    words = ["--methods", *METHODS, "--targets", "digits", "--seeds", "1", "--jobs", "1"]
    code, text = run_study(STUDY, [*words, "--root", str(tiny.root), "--output", str(tmp_path), "--", *pairs])
    assert code == 0 and "Shapes, symmetric, 50%" in text, text
    suite = suite_of(STUDY, *words, "--root", str(tiny.root), "--", *pairs, output=tmp_path)
    hashes = set()
    for run in suite.runs[1:]:
        trained, tested = (json.loads((folder / "results.json").read_text()) for folder in run.folders)
        assert trained["noise"]["rate"] == 0.5 and tested["noise"] is None and tested["task"] == "CD"
        assert tested["model_dir"] == str(run.folders[0]) and tested["results"]["total"] == 20
        counts = json.loads((run.folders[1] / "confusion.json").read_text())["counts"]
        assert sum(map(sum, counts)) == 20 and sum(counts[i][i] for i in range(5)) == tested["results"]["correct"]
        hashes.add(trained["noise"]["sha256"])
    assert len(hashes) == 1
    status = ["status", str(tmp_path / "suite.yaml"), "--root", str(tiny.root)]
    assert bench(status) == 0 and "3 runs, 3 done" in capsys.readouterr().out
