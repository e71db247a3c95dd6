"""The documentation as a site: every page has its place, every link a target; built where mkdocs is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from robustprompt.site_hooks import ELSEWHERE, ROOT, outside_code, site_markdown

DOCS = ROOT / "docs"
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = {str(file.relative_to(DOCS)) for file in DOCS.rglob("*.md")} | set(ELSEWHERE)


def places(tree: object) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(tree, str):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from places(each)


def source(page: str) -> str:
    return (ROOT / ELSEWHERE.get(page, f"docs/{page}")).read_text(encoding="utf-8")


def test_every_page_has_one_place():
    assert Counter(places(CONFIG["nav"])) == Counter(PAGES)
    assert not {f"docs/{page}" for page in ELSEWHERE} & {str(file.relative_to(ROOT)) for file in DOCS.rglob("*.md")}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_of_a_page_has_a_target(page):
    found: list[str] = []
    outside_code(
        site_markdown(source(page), page),
        lambda line: found.extend(re.findall(r"\]\(([^)\s#]+)", re.sub(r"`[^`]*`", "", line))) or line,
    )
    for target in found:
        if not re.match(r"https?:|mailto:", target):
            path = os.path.normpath(os.path.join(os.path.dirname(page), target))
            assert path in PAGES or (DOCS / path).is_file(), target


def test_paths_become_links_and_code_stays():
    text = "See `docs/card.md` and `bench/card.py`, ![x](docs/images/demo.png):\n- one\n\n    cat `docs/card.md`\n"
    at_home, below = site_markdown(text, "index.md"), site_markdown("`docs/card.md`", "tutorials/first_run.md")
    assert "See [The robustness card](card.md) and `bench/card.py`, ![x](images/demo.png):\n\n- one" in at_home
    assert "    cat `docs/card.md`" in at_home and below == "[The robustness card](../card.md)\n"
    assert "](contributing.md)" in site_markdown("`CONTRIBUTING.md`", "card.md")
    assert site_markdown("```yaml\n- `docs/card.md`\n```", "card.md") == "```yaml\n- `docs/card.md`\n```\n"


class Page(HTMLParser):
    """Links, what a page loads, and its anchors."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := own.get(key))}
        if tag == "a" and own.get("href"):
            self.links.append(own["href"])
        if tag in ("script", "img", "link", "iframe") and own.get("rel") != "canonical":
            self.loaded += [value for key in ("src", "href") if (value := own.get(key))]


@pytest.mark.skipif(not (find_spec("mkdocs") and find_spec("material")), reason="needs the extra `docs`")
def test_the_site_builds_and_needs_no_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    pages = {file: Page(file) for file in (tmp_path / "site").rglob("*.html")}
    assert len(pages) >= len(PAGES)
    for file, page in pages.items():
        assert not [each for each in page.loaded if each.startswith(("http", "//"))], file
        for link in page.links:
            if re.match(r"(?:https?|mailto):|javascript:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (file.parent / path).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if file.name != "404.html":
                assert target.exists(), (file.name, link)
                assert not anchor or target not in pages or anchor in pages[target].anchors, (file.name, link)
