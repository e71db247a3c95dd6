"""The claims: each names runs that its suite has, and is judged by them alone."""

from __future__ import annotations

import json
import math

import pytest
from pandas import DataFrame
from result_files import write_attacked
from study_runs import finish, noise_of, suite_of

from bench.__main__ import main as bench
from bench.studies import new_class_similarity
from bench.studies.bootstrap import Interval
from bench.studies.claim import Side, verdict
from bench.studies.claim_metrics import hm, loss, slope
from bench.studies.claim_results import find, printed_difference
from bench.studies.claim_tables import judge, sections
from bench.studies.claims import STUDY, main
from bench.studies.claims_list import CLAIMS, PAPERS
from bench.studies.door import SUITES
from bench.studies.follow_ups import FOLLOW_UPS, OURS, READING, REGIME
from bench.studies.new_class_similarity import divergences
from bench.studies.rows import rows_of
from bench.suites.load import load
from dassl.utils import InputError
from runs.config_names import UNTRAINED

BY_ID = {claim.id: claim for claim in CLAIMS}
LABELS = {"letters": 3.0, "textures": -1.0, "objects": 1.0}  # what each set adds to DP-SEP's lead


@pytest.fixture(scope="module")
def whole():
    """The whole suite, with one seed in place of three and five."""
    return suite_of(STUDY, "--seeds", "1")


def noisy(step) -> float:
    """DP-SEP leads PTNL by 20 points for each unit of the rate, and by what the set adds."""
    _, rate = noise_of(step)
    lead = (20 * rate + LABELS[step.dataset]) if step.method == "DPSEP" else 0.0
    return 80 - 40 * rate + step.seed + lead


def judged(suite, wanted, kl=None, said=None):
    frame = rows_of(suite, [] if said is None else said, checked=False)
    found = find(suite, frame, kl or {})
    return {name: judge(BY_ID[name], found) for name in wanted}


# ---------------------------------------------------------------------- the list and its suite


@pytest.mark.parametrize("more", [[], ["--follow-up"]])
def test_every_claim_names_runs_that_the_suite_has(more):
    whole, listed = suite_of(STUDY, "--seeds", "1", *more), FOLLOW_UPS if more else CLAIMS
    found = find(whole, DataFrame(columns=["block", "method", "settings"]), {})
    points: dict[Side, set] = {}
    for run in whole.runs:
        kinds = {noise_of(step) for step in run.job if step.protocol in ("noise_train", "text_noise_test")}
        points.setdefault(Side(run.block, run.method), set()).update(kinds)
    used = set()
    for claim in listed:
        for side in (claim.left, claim.right):
            assert found.planned[side] and points[side] >= set(claim.points), f"{claim.id}: {side}"
            used.add(side)
        pairs = found.planned[claim.left] & found.planned[claim.right]
        assert len({dataset for dataset, _ in pairs}) >= (1 if claim.metric == "loss" else 2 if more else 3), claim.id
    assert used == {Side(run.block, run.method) for run in whole.runs}, "no run is there for nothing"


def test_claims_and_follow_ups_have_names_and_papers():
    assert len({claim.id for claim in (*CLAIMS, *FOLLOW_UPS)}) == len(CLAIMS) + len(FOLLOW_UPS)
    assert len(BY_ID) == len(CLAIMS) and {claim.paper for claim in CLAIMS} == set(PAPERS)
    assert {claim.paper for claim in FOLLOW_UPS} == set(PAPERS), "--papers never asks for none"
    assert {claim.where for claim in FOLLOW_UPS} == {OURS, READING, REGIME}


def test_nothing_is_trained_twice(whole):
    trained = [run.resolved[0].hash(run.seed) for run in whole.runs if run.method not in UNTRAINED]
    assert len(trained) == len(set(trained)) > 200


def test_there_are_three_seeds_and_five_where_runs_collapse_under_label_noise():
    tree = load(SUITES / "claims.yaml")
    seeds = {block["name"]: block.get("seeds", tree["seeds"]) for block in tree["blocks"]}
    compared = {side.block for claim in CLAIMS if claim.paper == "DP-SEP" for side in (claim.left, claim.right)}
    assert min(map(len, seeds.values())) >= 3, "the follow-ups' too"
    assert len(compared) >= 8 and all(len(seeds[name]) >= 5 for name in compared)


def test_published_differences_are_the_papers_own():
    """81.70 - 81.20 (ANPrompt, Table 1); 11.17 and 16.98 as DP-SEP's text has them; 78.01 - 73.65 (SAR, Table 1)."""
    values = {claim.id: printed_difference(claim) for claim in CLAIMS}
    assert values["anprompt-hm-MMRL"] == pytest.approx(0.50) and values["sar-hm-CoOp"] == pytest.approx(4.36)
    assert values["dpsep-sym_other-65"] == pytest.approx(11.17, abs=0.005)
    assert values["dpsep-sym_other-80"] == pytest.approx(16.98, abs=0.005)
    assert values["anprompt-part-000"] == pytest.approx(0.79)
    assert all((values[claim.id] is None) == (claim.published is None) for claim in CLAIMS)


# ---------------------------------------------------------------------- one claim


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (0.1, 2.0, 0, "shows"),
        (-2.0, -0.1, 0, "contradicts"),
        (-1.0, 1.0, 0, "does not show"),
        (0.0, 0.0, 0, "does not show"),
        (0.0, 2.0, 0, "does not show"),
        (math.nan, math.nan, 0, "-"),
        (-0.9, -0.1, 1, "shows"),
        (-3.0, -1.5, 1, "contradicts"),
        (-1.5, 1.0, 1, "does not show"),
    ],
)
def test_verdicts(low, high, margin, word):
    assert verdict(Interval((low + high) / 2, low, high, 3, (3, 3)), margin) == word
    assert verdict(None) == "-"


def test_metrics():
    assert hm({("base", "", 0.0): 80.0, ("new", "", 0.0): 60.0}, ()) == pytest.approx(68.5714, abs=1e-4)
    assert hm({("base", "", 0.0): 80.0}, ()) is None
    points = (("sym", 0.2), ("sym", 0.4), ("sym", 0.8))
    line = {("all", kind, rate): 70 - 30 * rate for kind, rate in points}
    assert slope(line, points) == pytest.approx(-3.0), "points lost for 10 % more noise"
    assert slope(line, (*points, ("sym", 0.9))) is None
    assert loss({("source", "", 0.0): 70.0, ("target", "", 0.0): 55.0}, ()) == 15.0


# ---------------------------------------------------------------------- from results to verdicts


def test_a_lead_that_grows_with_the_rate(tmp_path):
    suite = suite_of(STUDY, "--papers", "DP-SEP", "--seeds", "1", "2", output=tmp_path)
    finish(suite, noisy)
    found = judged(suite, [claim.id for claim in CLAIMS if claim.paper == "DP-SEP"])
    half = found["dpsep-sym_other-50"]  # 13, 9 and 11 points on the three sets, at both seeds
    assert (half.interval.mean, half.interval.low, half.interval.high) == pytest.approx((11, 9, 13))
    assert half.verdict == "shows" and half.row()[2:5] == ["+11.00", "+9.00 to +13.00", "3 x 2"]
    assert half.published == pytest.approx(5.24, abs=0.01)
    rising = found["dpsep-idn-slope"].interval
    assert (rising.mean, rising.low, rising.high) == pytest.approx((2, 2, 2)), "20 points a unit are 2 for 10 %"
    assert found["dpsep-part-perturbation"].verdict == "does not show", "the two are alike"
    assert half.numbers()["cells"][0] == ["letters", 1, pytest.approx(74.0), pytest.approx(61.0)]


def test_a_missing_run_leaves_its_claims_open_and_no_others(tmp_path):
    suite = suite_of(STUDY, "--papers", "DP-SEP", "--seeds", "1", "2", output=tmp_path)
    finish(suite, noisy)
    lost = next(run for run in suite.runs if run.method == "PTNL" and noise_of(run.job[0]) == ("sym_other", 0.65))
    (lost.folders[0] / "results.json").unlink()
    found = judged(suite, [claim.id for claim in CLAIMS if claim.paper == "DP-SEP"])
    open_ones = {name for name, each in found.items() if each.verdict == "-"}
    assert open_ones == {"dpsep-sym_other-65", "dpsep-sym_other-slope"}
    each = found["dpsep-sym_other-65"]
    assert each.missing == f"1 of 6 pairs not finished, such as PTNL of label noise, {lost.dataset}, seed 1"
    assert each.row()[-1] == "-" and each.row()[4] == "3 x 1-2", "what is there is shown, without a verdict"
    assert found["dpsep-sym_other-80"].verdict == "shows"


def test_a_difference_is_also_told_without_collapsed_runs(tmp_path):
    suite = suite_of(STUDY, "--papers", "DP-SEP", "--seeds", "1", "2", output=tmp_path)
    finish(suite, noisy)
    fallen = [run for run in suite.runs if run.method == "PTNL" and run.dataset == "letters" and run.seed == 1]
    for run in fallen:
        if noise_of(run.job[0]) == ("sym_other", 0.5):
            file = run.folders[0] / "results.json"
            record = json.loads(file.read_text())
            file.write_text(json.dumps(record | {"collapsed": True, "results": {"accuracy": 10.0}}))
    found = judged(suite, [claim.id for claim in CLAIMS if claim.paper == "DP-SEP"])
    half = found["dpsep-sym_other-50"]  # letters: 64 at seed 1 and 13 at seed 2, in place of 13 and 13
    assert half.interval.mean == pytest.approx((38.5 + 9 + 11) / 3) and half.none_collapsed == pytest.approx(11)
    assert half.row()[5] == "+11.00" and half.numbers()["collapsed"] == [["letters", 1]]
    other = found["dpsep-sym_other-80"]
    assert other.none_collapsed is None and other.row()[5] == "" and other.numbers()["collapsed"] == []
    assert found["dpsep-sym_other-slope"].none_collapsed is not None, "a slope has that rate among its points"


def test_zero_shot_clip_stands_for_every_seed_and_a_margin_is_allowed(tmp_path):
    suite = suite_of(STUDY, "--papers", "R-TPT", "--seeds", "1", "2", output=tmp_path)
    clean = {"ZeroshotCLIP": 70.0, "RTPT": 69.5, "TPT": 71.0}
    for run in suite.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            own = {"own": 10.0 + 5 * (run.block == "attack")} if step.mode == "adaptive" else {}
            higher = 20.0 + (run.method == "TPT")
            write_attacked(
                folder, run.method, step.dataset.title(), run.seed, step.mode,
                clean=clean[run.method], transfer=higher, **own,
            )  # fmt: skip
    found = judged(suite, [claim.id for claim in CLAIMS if claim.paper == "R-TPT"])
    kept = found["rtpt-clean"]
    assert (kept.interval.mean, kept.interval.seeds, kept.verdict) == (-0.5, (2, 2), "shows")
    assert found["rtpt-pointwise-adaptive"].verdict == found["rtpt-reliability-adaptive"].verdict == "shows"
    assert found["rtpt-pointwise-transfer"].verdict == "does not show", "the same pictures, the same answers"
    assert found["rtpt-tpt-transfer"].verdict == "contradicts"


def test_what_was_attacked_by_transfer_alone_has_no_adaptive_result(tmp_path):
    suite = suite_of(STUDY, "--papers", "R-TPT", "--seeds", "1", "2", output=tmp_path)
    for run in suite.runs:
        name = run.dataset.title()
        write_attacked(run.folders[0], run.method, name, run.seed, "transfer", clean=70.0, transfer=20.0)
    own = find(suite, rows_of(suite, [], checked=False), {})
    (results,) = {tuple(sorted(cell)) for side in own.results.values() for cell in side.values()}
    assert results == (("clean", "", 0.0), ("transfer", "", 0.0))


def better(step) -> float:
    """ANPrompt is 2 points above all on base and new; MMRL loses 20 points by clutter, the others 10."""
    value = 60.0 + 2 * (step.method == "ANPrompt") + step.seed
    if step.protocol == "text_noise_test":
        strengths = {"typo": (0.1, 0.2, 0.4), "distractor": (1, 2, 4), "embedding": (0.2, 0.4, 0.8)}
        kind, strength = noise_of(step)
        return value - 3 * (step.method == "MMRL") * (1 + strengths[kind].index(strength))
    lost = {"xd_train": 0, "dg_test": 20 if step.method == "MMRL" else 10}
    return value - lost.get(step.protocol, 0)


def test_harmonic_means_and_losses(tmp_path):
    suite = suite_of(STUDY, "--papers", "ANPrompt", "--seeds", "1", "2", output=tmp_path)
    finish(suite, better)
    found = judged(suite, [claim.id for claim in CLAIMS if claim.paper == "ANPrompt"])
    assert found["anprompt-hm-CoOp"].interval.mean == pytest.approx(2.0)
    assert found["anprompt-part-011"].verdict == "does not show"
    less = found["anprompt-clutter-MMRL"]
    assert less.interval.mean == pytest.approx(10.0) and less.verdict == "shows", "a smaller loss is a gain"
    assert found["anprompt-clutter-CoOp"].interval.mean == pytest.approx(0.0)
    text = found["anprompt-text-MMRL"]
    assert text.interval.mean == pytest.approx(6.0) and text.verdict == "shows", "MMRL loses 3, 6, 9; ANPrompt nothing"
    assert found["anprompt-sentences"].verdict == "shows", "it loses nothing, within the margin"
    (section,) = sections(list(found.values()))
    assert section.title == "ANPrompt" and len(section.rows) == 23 and "10000 draws" in section.note


def test_runs_of_several_settings_are_not_mixed(tmp_path):
    suite = suite_of(STUDY, "--papers", "DP-SEP", "--seeds", "1", "2", output=tmp_path)
    finish(suite, noisy)
    frame = rows_of(suite, [], checked=False)
    other = (frame["block"] == "label noise") & (frame["method"] == "PTNL") & (frame["seed"] == 2)
    frame.loc[other, "settings"] = "LR 0.1"
    each = judge(BY_ID["dpsep-sym_other-50"], find(suite, frame, {}))
    assert each.verdict == "-" and each.missing == "PTNL has runs of different settings (the suite's; LR 0.1)"


def test_similarities_of_new_classes_are_computed_once_a_run(tmp_path, monkeypatch):
    suite = suite_of(STUDY, "--papers", "SAR", "--seeds", "1", "2", output=tmp_path)
    finish(suite, lambda step: 60.0)
    asked = []

    def fake(folder) -> float:
        asked.append(folder)
        if "TCP/" in str(folder):
            raise InputError(f"{folder}: there is no checkpoint.")
        return 0.5 if "SAR/" in str(folder) else 1.0

    monkeypatch.setattr(new_class_similarity, "divergence_of", fake)
    kl, said = divergences(suite, CLAIMS)
    assert len(asked) == len(set(asked)) == 100 and len(said) == 10 and "no checkpoint" in said[0]
    found = judged(suite, ["sar-kl-CoOp", "sar-kl-TCP", "sar-hm-CoOp"], kl)
    assert found["sar-kl-CoOp"].verdict == "shows" and found["sar-kl-CoOp"].row()[2] == "+0.5000"
    assert found["sar-kl-TCP"].verdict == "-" and found["sar-hm-CoOp"].verdict == "does not show"
    again = next(run for run in suite.runs if run.method == "CoOpSAR" and run.block == "base to new")
    file = again.folders[0] / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"finished": "2027-01-01T00:00:00+0000"}))
    asked.clear()
    assert divergences(suite, CLAIMS)[0] == kl
    assert {folder for folder in asked if "TCP/" not in str(folder)} == {again.folders[0]}, "that run was made anew"


# ---------------------------------------------------------------------- the command


def test_the_command_writes_its_tables_and_numbers(tmp_path, capsys):
    out = tmp_path / "runs"
    words = ["--papers", "DP-SEP", "--seeds", "1", "2", "--output", str(out)]
    finish(suite_of(STUDY, *words[:-2], output=out), noisy)
    files = ["--markdown", str(tmp_path / "c.md"), "--json", str(tmp_path / "c.json")]
    assert bench(["claims", "--tables-only", *words, *files]) == 0
    shown = capsys.readouterr().out
    assert "above PTNL at 80 % symmetric noise" in shown and "+15.00 to +19.00" in shown
    assert "## DP-SEP" in (tmp_path / "c.md").read_text()
    numbers = {each["id"]: each for each in json.loads((tmp_path / "c.json").read_text())["claims"]}
    assert numbers["dpsep-sym_other-80"]["interval"] == pytest.approx([15, 19])
    assert len(numbers["dpsep-sym_other-80"]["cells"]) == 6 and len(numbers) == 17


def test_without_options_the_suite_that_was_run_is_shown(tmp_path, capsys):
    words = ["--papers", "DP-SEP", "--seeds", "1", "2", "--output", str(tmp_path)]
    assert main(words) == 1, "too many runs for a command without `run`, but the suite is written"
    finish(suite_of(STUDY, *words[:-2], output=tmp_path), noisy)
    capsys.readouterr()
    assert bench(["claims", "--tables-only", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "DP-SEP" in shown and "VisPrompt" not in shown and "Without a verdict" not in shown


def test_plan_starts_nothing(tmp_path, capsys):
    assert main(["plan", "--papers", "R-TPT", "--seeds", "1", "--output", str(tmp_path / "none")]) == 0
    assert "claims: 15 runs" in capsys.readouterr().out and not (tmp_path / "none").exists()


def test_many_runs_wait_for_the_word(tmp_path, capsys):
    assert main(["--papers", "VisPrompt", "--output", str(tmp_path / "v")]) == 1
    assert "Begin them with the word `run`" in capsys.readouterr().err


def test_published_learning_rates_are_variants_of_their_own(tmp_path):
    words = ["--papers", "ANPrompt", "R-TPT", "--seeds", "1"]
    suite = suite_of(STUDY, *words, "--published", "OPTIM.LR", output=tmp_path)
    usual = suite_of(STUDY, *words, output=tmp_path)
    assert len(suite.runs) == len(usual.runs) and suite.file.name == "published.yaml"
    rates = {
        run.method: json.loads(run.resolved[0].text)["OPTIM.LR"] for run in suite.runs if run.block == "base to new"
    }
    assert rates["CoCoOp"] == 0.002 and rates["CoPrompt"] == 0.0035 and rates["ANPrompt"] == 0.001
    named = {run.block: run.variant for run in suite.runs if run.method == "ANPrompt"}
    assert named["base to new"] == "published,LR=0.001" and named["ANPrompt 011"] == "anprompt/011,LR=0.001"
    attacked = [run.variant for run in suite.runs if run.block == "attack"]
    assert set(attacked) == {""}, "test-time methods are not trained"


def test_follow_ups_have_a_suite_of_their_own_beside_the_claims(tmp_path, capsys):
    made = suite_of(STUDY, "--follow-up", "--papers", "R-TPT", "--seeds", "1", output=tmp_path)
    usual = {(run.block, run.method, run.folders) for run in suite_of(STUDY, "--seeds", "1", output=tmp_path).runs}
    shared = [run for run in made.runs if (run.block, run.method, run.folders) in usual]
    assert made.file.name == "follow_up.yaml" and {run.method for run in shared} == {"ZeroshotCLIP"}
    for run in made.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            clean = 70.0 - 6 * (run.method == "RTPT") + 5.5 * (run.block == "R-TPT gentle views")
            write_attacked(folder, run.method, step.dataset.title(), run.seed, step.mode, clean=clean, transfer=20.0)
    words = ["--follow-up", "--papers", "R-TPT", "--seeds", "1", "--output", str(tmp_path)]
    assert bench(["claims", "--tables-only", *words]) == 0
    rows = [
        line.split("  ")[0] + line.rsplit("  ")[-1] for line in capsys.readouterr().out.splitlines() if "keeps" in line
    ]
    assert [row.endswith("contradicts") for row in rows] == [True, False] and rows[1].endswith("shows")


def test_bad_words_are_one_sentence(tmp_path, capsys):
    assert bench(["claims", "--tables-only", "--output", str(tmp_path / "none")]) == 2
    (tmp_path / "there").mkdir()
    assert bench(["claims", "--tables-only", "--output", str(tmp_path / "there"), "--json", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "There is no folder" in err and "is a folder; give the name of a file" in err
