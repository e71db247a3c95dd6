"""What stands in more than one file of the project agrees: versions, licences, the Pythons that are tested."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import clipkit

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_ruff_has_one_version():
    pinned = re.search(r"^ruff==(\S+)", read("requirements.txt"), re.M).group(1)
    (repository,) = (r for r in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"] if "ruff" in r["repo"])
    assert repository["rev"] == f"v{pinned}"
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]


def test_the_workflow_runs_every_python_from_the_first_that_is_supported():
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.10", "3.11", "3.12", "3.13"]  # strings: a bare 3.10 is 3.1
    assert f'requires-python = ">={pythons[0]}"' in read("pyproject.toml")
    assert {"run": ".ci/run"} in jobs["test"]["steps"]


def test_issue_forms_ask_something_and_name_each_answer_once():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["bug", "method", "number"]
    for form in forms:
        content = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert content["name"] and content["description"], form.name
        names = [field["id"] for field in content["body"]]
        assert len(set(names)) == len(names) and all(f["attributes"]["label"] for f in content["body"]), form.name


def test_the_citation_names_the_project_and_the_papers_of_its_methods():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "MIT"
    assert "version" not in citation  # it has one place, and that is another file
    said = " ".join(f"{r['title']} {r.get('notes', '')}" for r in citation["references"])
    newer = (
        "APT AdvPT FAP TTC SS-TPT C-TPT O-TPT MTA TPS ZERO TDA BoostAdapter TextRefiner TAC MMRL++ ProMetaR MMA DePT"
    )
    assert all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) for name in f"ANPrompt SAR R-TPT {newer}".split())
    titles = [r["title"] for r in citation["references"]]
    assert len(titles) == len(set(titles)) and len(titles) > 30
    assert all(r["authors"] and r["title"] and r["type"] for r in citation["references"])


def test_the_version_has_one_place():
    assert re.fullmatch(r"\d+\.\d+\.\d+", clipkit.__version__)
    project = re.search(r"\[project\].*?(?=\n\[)", read("pyproject.toml"), re.S).group(0)
    assert 'dynamic = ["version"]' in project and not re.search(r"^version", project, re.M)
