"""What makes a site of docs/ (mkdocs.yml): pages that lie elsewhere, and links for the paths that the documents name.

mkdocs loads this file by itself, so it imports nothing of the project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Pages of the site that are no files of docs/.
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "cards/embedded_sets.md": "datasets/embedded/README.md",
    "cards/embedded_clip.md": "clipkit/embedded/README.md",
}
PAGE_OF = {source: page for page, source in ELSEWHERE.items()}
NAMED = re.compile(r"(?<!\[)`([\w/]+\.md)`(?!\])")
TARGET = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie elsewhere, without the file of docs/ that has the same name."""
    from mkdocs.structure.files import File

    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    return site_markdown(markdown, page.file.src_uri)


def site_markdown(markdown: str, page: str) -> str:
    """A document as a page of the site. page: its path there, such as tutorials/first_run.md."""
    source = ELSEWHERE.get(page, f"docs/{page}")
    markdown = outside_code(markdown, lambda line: linked(line, page, source))
    return "\n".join(_apart(markdown.splitlines())) + "\n"


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """The text with `change` of each line that is no code: neither fenced nor indented by four blanks."""
    fenced, found = False, []
    for line in markdown.splitlines():
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        found.append(line if fenced or fence or line.startswith("    ") else change(line))
    return "\n".join(found)


def linked(line: str, page: str, source: str) -> str:
    """The line with a link for each `docs/NAME.md`, and with targets as seen from the page."""
    here = os.path.dirname(page)

    def named(match: re.Match[str]) -> str:
        target = page_of(match[1])
        return f"[{title_of(match[1])}]({os.path.relpath(target, here or '.')})" if target else match[0]

    def moved(match: re.Match[str]) -> str:
        file = os.path.normpath(os.path.join(os.path.dirname(source), match[1]))
        target = page_of(file) or (file.removeprefix("docs/") if file.startswith("docs/") else "")
        return f"]({os.path.relpath(target, here or '.')}{match[2] or ''})" if target else match[0]

    return NAMED.sub(named, TARGET.sub(moved, line))


def page_of(file: str) -> str:
    """The page that shows a file of the repository; "" for none."""
    if file in PAGE_OF:
        return PAGE_OF[file]
    return file.removeprefix("docs/") if file.startswith("docs/") and (ROOT / file).is_file() else ""


def title_of(file: str) -> str:
    """The first heading of a document."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), file)


def _apart(lines: list[str]) -> list[str]:
    """With an empty line before each list, which Markdown on the site needs and in the repository does not."""
    found: list[str] = []
    fenced = False
    for line in lines:
        fenced ^= line.lstrip().startswith("```")
        before = found[-1] if found else ""
        if not fenced and ITEM.match(line) and before.strip() and not ITEM.match(before) and before[0] not in " |":
            found.append("")
        found.append(line)
    return found
