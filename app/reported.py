"""Importing providers' usage reports: lines become charges, a month at a time, and are tied to the report's sums."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from app import wiring
from ingest.statements.copilot import Report, read_reports
from models.core.reported import ReportedLine
from models.costs.pooled import Tie, ties
from models.store.ledger import Recorded
from models.store.reported_usage import record_lines


@dataclass(slots=True)
class ReportImport:
    """What an import read and what it changed in the ledger."""

    report: Report
    recorded: Recorded
    ties: Sequence[Tie]


def import_copilot(paths: Sequence[Path], project: Callable[[], int], *, show_progress: bool = False) -> ReportImport:
    """Load GitHub's AI usage reports; the project is made once the files were read.

    Safe to repeat and to break off: a month is a transaction, and a line is kept once by what it is about.
    """
    with Progress(console=Console(file=sys.stderr), disable=not show_progress, transient=True) as progress:
        reading = progress.add_task("reading", total=None)
        report = read_reports(paths, lambda: progress.advance(reading))
        progress.update(reading, total=progress.tasks[reading].completed)
        storing = progress.add_task("storing", total=len(report.lines))
        added = superseded = unchanged = 0
        project_id = project()
        for month, lines in groupby(report.lines, key=_month):
            found = list(lines)
            with wiring.transaction() as connection:
                done = record_lines(connection, project_id, month, found)
            added, superseded = added + done.added, superseded + done.superseded
            unchanged += done.unchanged
            progress.advance(storing, len(found))
    return ReportImport(report, Recorded(added, superseded, unchanged), ties(report.lines))


def _month(line: ReportedLine) -> date:
    return line.day.replace(day=1)
