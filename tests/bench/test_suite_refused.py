"""What a suite and the commands on it refuse, in one sentence and before anything is written."""

from __future__ import annotations

import pytest

from bench.__main__ import main
from bench.suites.values import unknown
from runs.targets import ROOT

GOOD = """name: mine
output: @OUT
blocks:
- protocol: few_shot
  methods: [CoOp]
  datasets: [digits]
  seeds: [1]
"""
NAME, SEEDS, ATTACK = "name: mine\noutput: @OUT\n", "seeds: [1]", "  eps: [1]\n  steps: [3]\n"
RATE = "  types: {sym_other: [0.5]}\n"


def of(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def noise(lines: str) -> str:
    return of("few_shot", "noise") + lines


def attacked(lines: str) -> str:
    return of("few_shot", "adversarial") + lines


def text(kinds: str, method: str = "ZeroshotCLIP") -> str:
    return of("few_shot", "text_noise").replace("CoOp", method) + f"  kinds: {kinds}\n"


CASES = {
    "name ../x": (of(NAME, "name: ../x\n"), "'../x' names a folder"),
    "name absolute": (of(NAME, "name: /tmp/abs\n"), "names a folder"),
    "name ..": (of(NAME, "name: ..\n"), "names a folder"),
    "name empty": (of(NAME, "name: ''\n"), "names a folder"),
    "name of two lines": (of("mine", '"a\\nb"'), "names a folder"),
    "name long": (of("mine", "x" * 300), "names a folder"),
    "variant ..": (GOOD + "  variant: ..\n", "variant: '..' names a folder"),
    "variant a/b": (GOOD + "  variant: ../../x\n", "names a folder"),
    "variant /": (GOOD + "  variant: a//b\n", "variant: '' names a folder"),
    "variants ..": (of(NAME, f"{NAME}variants: ..\n"), "variants: '..' names a folder"),
    "variants a/b": (of(NAME, f"{NAME}variants: a/b\n"), "variants: 'a/b' names a folder"),
    "variants a list": (of(NAME, f"{NAME}variants: [a]\n"), "variants: must be a text"),
    "block name": (GOOD + "  name: [1]\n", "block 1, name: must be a text"),
    "output a file": (of("@OUT", "README.md"), "README.md is a file"),
    "output below a file": (of("@OUT", "README.md/x"), "README.md is a file"),
    "output empty": (of("@OUT", "''"), "output is empty"),
    "slurm option": (GOOD + "slurm: {foo: 1}\n", "foo is no option"),
    "slurm number": (GOOD + "slurm: {5: 1}\n", "5 is no option"),
    "slurm time x": (GOOD + "slurm: {time: x}\n", "'x' is no time"),
    "slurm time number": (GOOD + "slurm: {time: 240}\n", "in quotes"),
    "slurm mem": (GOOD + "slurm: {mem: x}\n", "'x' is no size"),
    "slurm cpus": (GOOD + "slurm: {cpus: 0}\n", "0 is no count"),
    "slurm setup": (GOOD + "slurm: {setup: 5}\n", "must be shell lines"),
    "seed too large": (of(SEEDS, f"seeds: [{2**70}]"), "below 2**63"),
    "seed NaN": (of(SEEDS, "seeds: [.nan]"), "nan must be a whole number"),
    "shots too many": (GOOD + f"  shots: {10**30}\n", "below 2**63"),
    "empty dataset": (of("[digits]", "'digits,,letters'"), "nothing between two commas"),
    "SEED": (GOOD + "  overrides: {SEED: 3}\n", "SEED in"),
    "OUTPUT_DIR": (GOOD + "  overrides: {OUTPUT_DIR: abc}\n", "OUTPUT_DIR in"),
    "NUM_SHOTS": (GOOD + "  sweep: {DATASET.NUM_SHOTS: [1, 2]}\n", "DATASET.NUM_SHOTS in"),
    "DATASET.NAME": (GOOD + "  overrides: {DATASET.NAME: Textures}\n", "DATASET.NAME in"),
    "TRAINER.NAME": (GOOD + "  sweep: {TRAINER.NAME: [MaPLe]}\n", "TRAINER.NAME in"),
    "classes": (GOOD + "overrides: {DATASET.SUBSAMPLE_CLASSES: base}\n", "DATASET.SUBSAMPLE_CLASSES in"),
    "split": (GOOD + "  overrides: {TEST.SPLIT: val}\n", "variant: NAME in a suite"),
    "rate of noise": (
        noise(RATE + "  overrides: {DATASET.NOISE.RATE: 0.2}\n"),
        "block 1 (noise): DATASET.NOISE.RATE in",
    ),
    "rate swept": (noise(RATE + "  sweep: {DATASET.NOISE.RATE: [0.2]}\n"), "block 1 (noise): DATASET.NOISE.RATE in"),
    "labels": (noise(RATE + "  overrides: {DATASET.NOISE_LABEL: false}\n"), "block 1 (noise): DATASET.NOISE_LABEL in"),
    "eps of an attack": (attacked(ATTACK + "  overrides: {ATTACK.EPS: 8}\n"), "(adversarial): ATTACK.EPS in"),
    "mode of an attack": (attacked(ATTACK + "  overrides: {ATTACK.MODE: T}\n"), "(adversarial): ATTACK.MODE in"),
    "name of an attack": (attacked(ATTACK + "  overrides: {ATTACK.NAME: fgsm}\n"), "give attacks in a suite"),
    "test set": (
        of("few_shot", "real_noise").replace("digits", "food101n") + "  overrides: {DATASET.FOOD101N.TEST: official}\n",
        "real_noise_test.sh",
    ),
    "protocol a list": (of("few_shot", "[a]"), "there is no protocol"),
    "rate NaN": (noise("  types: {sym_other: [.nan]}\n"), "nan must be a number"),
    "type a list": (noise("  types: [[sym_other]]\n  rates: [0.5]\n"), "types: must be a text"),
    "eps NaN": (attacked("  eps: [.nan]\n  steps: [3]\n"), "nan must be a number"),
    "eps infinite": (attacked("  eps: [.inf]\n  steps: [3]\n"), "inf must be a number"),
    "steps too many": (attacked(f"  eps: [1]\n  steps: [{10**30}]\n"), "below 2**63"),
    "attack a list": (attacked(ATTACK + "  attacks: [[1]]\n"), "there is no attack"),
    "typo above 1": (text("{typo: [1.5]}"), "(text_noise), kinds: The strength of typo is '1.5'"),
    "distractor 0": (text("{distractor: [0]}"), "(text_noise), kinds: The strength of distractor is '0'"),
    "half a word": (text("{distractor: [0.5]}"), "must be a whole number from 1 to 30"),
    "template 81": (text("{template: [1, 81]}"), "The strength of template is '81'"),
    "template of CoOp": (text("[template]", "CoOp"), "(text_noise), kinds: template takes the place of a hand-written"),
    "synonyms of digits": (text("[typo, synonym]"), "kinds: synonym takes other names of the classes"),
    "a strength twice": (text("{typo: [0.1, 0.10]}"), "kinds: typo 0.1 is there twice"),
    "a strength twice by all": (text("{typo: [0.1, all]}"), "kinds: typo 0.1 is there twice"),
    "no strength": (text("{typo: []}"), "(text_noise), kinds, typo: is empty; name at least one"),
    "no kind": (text("{}"), "(text_noise), kinds: is empty; name at least one"),
    "kind a list": (text("[[typo]]"), "kinds: must be a text, but is a list"),
    "corruption a list": (of("few_shot", "corruption") + "  corruptions: [[fog]]\n", "corruptions: must be a text"),
    "corruption a number": (of("few_shot", "corruption") + "  corruptions: [1]\n", "corruptions: must be a text"),
    "methods of an empty list": (of("[CoOp]", "[[]]"), "methods: a list in it is empty; name at least one"),
    "methods and an empty list": (of("[CoOp]", "[CoOp, []]"), "methods: a list in it is empty"),
    "datasets of a list": (of("[digits]", "[[digits]]"), "datasets: must be a text, but is a list"),
    "dataset with a folder": (of("[digits]", "[my/digits]"), "no dataset 'my/digits'; known, nearest first: digits,"),
    "no choice to take": (GOOD + "  selected: nope\n", "(few_shot), selected: no block of the suite has `select`"),
    "not UTF-8": (b"\xff\xfe\x00", "not UTF-8"),
    "nested": ("a: " + "[" * 5000, "mend it"),
}


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize("case", CASES)
def test_a_suite_is_refused_with_its_place(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    text, says = CASES[case]
    file = tmp_path / "suite.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.replace("@OUT", str(tmp_path / "out")).encode())
    for command in (["plan"], ["run", "--gpus", "none"], ["status"]):
        assert main([command[0], str(file), *command[1:]]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and says in error and str(file) in error and error.count("\n") == 1, error
    assert [path.name for path in tmp_path.iterdir()] == ["suite.yaml"]


def test_no_list_of_names_is_empty():
    assert unknown("block", "x", ()) == "there is no block 'x', and no other either."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--output", "README.md"], "--output is README.md"),
        (["--output", ""], "--output is empty"),
        (["--output", "x" * 300], "cannot be a folder"),
        (["--root", "README.md"], "--root is README.md"),
        (["--seeds", str(2**70)], "below 2**63"),
        (["--seeds", "²"], "whole numbers"),
        (["SEED", "3"], "SEED in the command line"),
        (["TEST.SPLIT", "val"], "TEST.SPLIT in the config pairs is not in the name of the folder"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run", "work", "status", "retry", "clean"])
def test_words_are_refused_by_every_command(command, words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "suite.yaml"
    file.write_text(GOOD.replace("@OUT", str(tmp_path / "out")))
    more = ["--all", "--yes"] if command == "clean" else []
    assert main([command, str(file), *more, *words]) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    file = tmp_path / "suite.yaml"
    file.write_text(GOOD.replace("@OUT", str(tmp_path / "out")))
    assert main(["run", str(file), "--gpus", "977"]) == 2
    assert "--gpus names 977, but this machine has" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_name_of_its_own_takes_another_split(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for lines in ("  variant: val\n  overrides: {TEST.SPLIT: val}\n", "  sweep: {TEST.SPLIT: [val]}\n"):
        file = tmp_path / "suite.yaml"
        file.write_text((GOOD + lines).replace("@OUT", str(tmp_path / "out")))
        assert main(["plan", str(file), "--list"]) == 0 and "val" in capsys.readouterr().out
