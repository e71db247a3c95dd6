"""What a study is: its options, its suite, and the page that it makes of the results."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pandas import DataFrame

from ..drawing.report import Section, render
from ..suites.suite import Suite
from .rows import rows_of


@dataclass
class Page:
    """The output of a study. said: sentences on problems, which make the exit code 1. end: the text below the tables.
    draw: draws its figures into a folder. data: the numbers behind the tables, for --json of studies that have it."""

    sections: Sequence[Section] = ()
    said: list[str] = field(default_factory=list)
    end: str = ""
    draw: Callable[[Path], object] | None = None
    data: dict | None = None

    def text(self, form: str) -> str:
        return "\n\n".join(filter(None, (render(self.sections, form), self.end)))


@dataclass(frozen=True)
class Study:
    """A study, started by `python -m bench.NAME`. doc: help of its command. template: the name of its suite in
    configs/suites.

    options: adds its options to a parser. fill: puts their values into the suite's tree; raises InputError for wrong
    ones. page: makes its output from results. file: the suite's name in the output folder. rows: reads the results,
    those of the suite's runs (`rows_of`) or all in the output folder (`all_rows`).
    """

    name: str
    doc: str
    template: str
    options: Callable[[argparse.ArgumentParser], None]
    fill: Callable[[dict, argparse.Namespace], None]
    page: Callable[[DataFrame, Suite, argparse.Namespace], Page]
    file: Callable[[argparse.Namespace], str] = lambda args: "suite"
    rows: Callable[[Suite, list[str], bool], DataFrame] = rows_of
