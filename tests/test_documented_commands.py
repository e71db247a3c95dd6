"""Every command of README.md and docs/ is executed, asked, or has a reason why not: documented_places.py says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documented import ROOT, Command, commands
from documented_calls import asked, shortened, start, words_of
from documented_places import ASKED, LONG, NAMED, RUN, SHELL, TESTED
from PIL import Image
from scripts.stub import make_stub
from test_tutorials import COMMAND, TUTORIALS

RULES = [("run", RUN), ("long", LONG), ("tested", TESTED), ("shell", SHELL), ("named", NAMED), ("asked", ASKED)]
ALL = commands()
IN_TUTORIALS = {
    " ".join(match[0].split("  #")[0].split())
    for file in TUTORIALS
    for line in file.read_text(encoding="utf-8").splitlines()
    if (match := COMMAND.fullmatch(line))
}


def place(command: Command) -> tuple[str, str]:
    """(how, pattern) of a command's place; ("", "") if it has none."""
    if command.line in IN_TUTORIALS and not any(re.match(pattern, command.line) for pattern in RUN):
        return "tested", "test_tutorials.py"
    fitting = ((how, pattern) for how, rules in RULES for pattern in rules if re.match(pattern, command.line))
    return next(fitting, ("", ""))


PLACES = {command: place(command) for command in ALL}


def those(how: str) -> list[Command]:
    return [command for command in ALL if PLACES[command][0] == how]


def test_every_command_has_a_place():
    lost = [f"{command.place}: {command.line}" for command in those("")]
    assert not lost, "these need a rule in tests/documented_places.py:\n" + "\n".join(lost)
    used = {pattern for _, pattern in PLACES.values()}
    assert not [pattern for _, rules in RULES for pattern in rules if pattern not in used]
    assert len(ALL) > 300 and len(those("run")) > 40
    assert all((ROOT / "tests" / file).is_file() for file in TESTED.values())


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder in which the commands write, with the tree's files as links, and what the documents tell to save."""
    here = tmp_path / "checkout"
    (here / "docs" / "images").mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.name not in ("output", "data", ".git", "docs"):
            (here / path.name).symlink_to(path)
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for example in re.findall(r"```yaml\n(name: \w+\n.*?)```", text, re.S):
            (here / f"{example.split()[1]}.yaml").write_text(example)
        for source in re.findall(r'```python\n("""NearCoOp.*?)```', text, re.S):
            (here / "near_coop.py").symlink_to(tmp_path / "near_coop.py")  # not beside links to this project's trainers
            (tmp_path / "near_coop.py").write_text(source)
    (here / "photos").mkdir()
    Image.new("RGB", (20, 20), (200, 20, 0)).save(here / "photos" / "a cat.png")
    make_stub(tmp_path)
    monkeypatch.chdir(here)
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    return here


def execute(command: Command, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(command, python)
    with monkeypatch.context() as patch:
        for name, value in command.given:
            patch.setenv(name, value)
        code = start(shortened(words)) if words and words[0] != "usage:" else 0
    assert code in ([0, 2] if words == ["robustprompt"] else [0]), f"{command.place}: {command.line}"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_commands_run(checkout, monkeypatch, long_tests):
    for rules in (RUN, LONG) if long_tests else (RUN,):
        for pattern in rules:
            for command in (command for command in ALL if PLACES[command][1] == pattern):
                execute(command, checkout.parent / "python", monkeypatch)
    assert len(list(checkout.glob("output/**/results.json"))) > 10


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("how", ["asked", "long", "named"])
def test_commands_that_are_not_run_are_asked(how, checkout, monkeypatch, capsys):
    monkeypatch.setattr("runs.arguments.last_epoch", lambda folder, script="": "1")  # a training that is done
    wrong = []
    for command in those(how):
        words = words_of(command, checkout.parent / "python") if how != "named" else None
        try:
            with monkeypatch.context() as patch:
                for name, value in command.given:
                    patch.setenv(name, value)
                asked(words) if words else answers(command)
        except (Exception, SystemExit) as error:
            wrong.append(f"{command.place}: {command.line}: {error!r} {capsys.readouterr().err[-300:]}")
    assert not wrong, "\n".join(wrong)


def answers(command: Command) -> None:
    """The command that the words before the first placeholder name has a help."""
    from robustprompt.help_pages import help_of

    program, *words = command.words
    words = words if program == "robustprompt" or words[0] != "-m" else words[1:]
    module = "robustprompt" if program == "robustprompt" else words.pop(0).removesuffix(".py")
    if module.endswith(".NAME"):  # any of a room
        assert (ROOT / module.partition(".")[0] / "__init__.py").is_file()
        return
    said = help_of(module)
    for word in words[0].split("|") if words and re.fullmatch("[a-z|]+", words[0]) else []:
        assert word in said, f"{module} has no word {word}"


def test_files_of_other_commands_are_there():
    for command in those("shell"):
        for word in command.words:
            ours = re.fullmatch(r"(?:scripts|tests)/\S+|requirements\S*\.txt", word)
            assert not ours or (ROOT / word).exists(), command.place
