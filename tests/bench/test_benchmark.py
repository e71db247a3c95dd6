"""`bench plan --measure`: a guess of the time where no run has ended, and what it says it rests on."""

from __future__ import annotations

import json
from dataclasses import replace

from suite_files import B2N, Here

from bench.__main__ import main
from bench.running import benchmark
from bench.running.benchmark import Guess, key_of, measure, read_guesses
from bench.running.estimate import kind_of, seconds_of, time_left
from bench.running.plan import plan_table, unmeasured
from bench.running.state import survey
from bench.running.time_left import TimeLeft
from runs.one_run import run as run_train

KIND = ("base2new", "CoOp")


def in_this_process(monkeypatch) -> list[list[str]]:
    """The short trainings, run here; what they are called with."""
    called = []

    def call(words) -> bool:
        called.append(list(words))
        return run_train(list(words[1:])) == 0

    monkeypatch.setattr(benchmark, "call", call)
    return called


def test_an_epoch_is_the_difference_and_the_rest_what_is_left(tmp_path, tiny, monkeypatch):
    suite = Here(tmp_path, tiny, [B2N], epochs=10).suite
    monkeypatch.setattr(benchmark, "_short", lambda run, epochs: 3.0 + 0.5 * epochs)
    lines: list[str] = []
    found = measure(suite, unmeasured(suite, survey(suite.runs)), lines.append)
    assert list(found) == [KIND] and (found[KIND].epoch, found[KIND].rest) == (0.5, 3.0)
    assert found == read_guesses(suite) and "ZeroshotCLIP: not guessed" in lines[0]
    (run,) = [run for run in suite.runs if key_of(run) == KIND]
    assert found[KIND].of(run) == 10 * 0.5 + 2 * 3.0  # a training with its test, and the test on new classes
    table = plan_table(suite, survey(suite.runs))
    assert "~00:11 + 1 run unknown" in table and f"on {benchmark.machine()}" in table


def test_short_trainings_are_real_and_leave_nothing(tmp_path, tiny, monkeypatch, capsys):
    here = Here(tmp_path, tiny, [{**B2N, "methods": ["CoOp"]}])
    called = in_this_process(monkeypatch)
    assert main(here.arguments("plan", "--measure")) == 0
    assert [words[words.index("OPTIM.MAX_EPOCH", words.index("OPTIM.MAX_EPOCH") + 1) + 1] for words in called] == [
        "2",
        "4",
    ]
    out = capsys.readouterr().out
    assert "base2new CoOp: " in out and "s an epoch" in out and "~: guessed from trainings of 2 and 4 epochs" in out
    guess = read_guesses(here.suite)[KIND]  # of two trainings of a second, either part may come out as 0
    assert not list(here.out.rglob("results.json")) and guess.epoch + guess.rest > 0


def test_what_fails_is_told_and_not_guessed(tmp_path, tiny, monkeypatch):
    suite = Here(tmp_path, tiny, [{**B2N, "methods": ["CoOp"]}]).suite
    monkeypatch.setattr(benchmark, "call", lambda words: False)
    lines: list[str] = []
    assert not measure(suite, [KIND], lines.append) and "no guess" in lines[0]
    assert "unknown" in plan_table(suite, survey(suite.runs))


def test_a_run_that_has_ended_counts_more_than_a_guess(tmp_path, tiny):
    here = Here(tmp_path, tiny, [{**B2N, "methods": ["CoOp"], "seeds": [1, 2]}])
    assert main(here.arguments("work", "--seeds", "1")) == 0
    suite = here.suite
    benchmark.write_json(
        [{"block": KIND[0], "method": KIND[1], "epoch": 1e6, "rest": 1e6, "machine": "m"}], suite.home / benchmark.FILE
    )
    assert read_guesses(suite)[KIND] == Guess(1e6, 1e6, "m") and not unmeasured(suite, survey(suite.runs))
    assert "~" not in plan_table(suite, survey(suite.runs))


def test_a_damaged_file_is_no_guess(tmp_path, tiny):
    suite = Here(tmp_path, tiny, [B2N]).suite
    suite.home.mkdir(parents=True)
    for text in ("", "[{}]", json.dumps({"a": 1})):
        (suite.home / benchmark.FILE).write_text(text)
        assert read_guesses(suite) == {}


def test_a_training_with_many_tests_is_another_kind_than_one_alone(tmp_path, tiny):
    """A run that further blocks test on corruptions takes many times as long as the block's others."""
    blocks = [
        {"name": "clean", "protocol": "few_shot", "methods": ["CoOp"], "datasets": ["digits"], "shots": [1, 16]},
        {"name": "hurt", "protocol": "corruption", "methods": ["CoOp"], "datasets": ["digits"], "severities": [1]},
    ]
    suite = Here(tmp_path, tiny, [{**block, "seeds": [1, 2]} for block in blocks]).suite
    found = survey(suite.runs)
    ended = {
        run.id: replace(found[run.id], state="done", seconds=10.0 * len(run.job)) for run in suite.runs if run.seed == 1
    }
    seconds = seconds_of(suite.runs, found | ended)
    assert seconds == {("clean", "CoOp", 1): [10.0], ("clean", "CoOp", 16): [160.0]}
    left = [run for run in suite.runs if run.seed == 2]
    assert time_left(left, seconds) == "02:50"
    live = TimeLeft(left, 1, kind_of, seconds)
    live.done(next(run for run in left if len(run.job) == 16), 160.0)
    assert live.pace == 1.0 and str(live) == "about 00:10 left"
