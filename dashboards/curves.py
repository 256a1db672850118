"""Questions of the spend curves as the pages ask them: index, decomposition, elasticity and outlook of a view."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dashboards.kept import kept
from dashboards.reader import current_reader
from dashboards.statistics import current_statistics
from dashboards.view import View
from models.core.queries import CostQuery
from models.costs import questions
from models.costs.elasticity import Elasticity
from models.costs.index import IndexPoint
from models.costs.outlook import Outlook, outlook
from models.costs.questions import Bridge

CELLS = {"agent-model": ("agent", "model"), "team": ("team",), "model": ("model",)}
"""What a bar can be drilled down to."""
MONTHS = 12


def year_of(view: View) -> CostQuery:
    """The twelve months that end with the period of the view; all months of a period that has more."""
    last = view.period.last
    month = last.year * 12 + last.month - MONTHS
    first = min(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC), view.period.start.replace(day=1))
    return replace(view.costs(), start=first, end=view.period.end)


def index(view: View) -> list[IndexPoint]:
    """Price index, volume index and bill by month."""
    query = year_of(view)
    return kept(("index", query), lambda: questions.price_index(current_reader().costs, query), 30)


def elasticity(view: View) -> Elasticity:
    """Elasticity of volume to price by day over the same months."""
    query = year_of(view)
    return kept(
        ("elasticity", query), lambda: questions.elasticity_by_day(current_reader().costs, query, current_statistics())
    )


def bridge(view: View, cells: str) -> Bridge | None:
    """Why the bill moved from the comparison to the period; None without a comparison.

    A running period is held against as much of the other.
    """
    if view.compare is None:
        return None
    until = min(view.period.end, view.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))
    current = view.costs(until=until if view.is_open else None)
    base = view.costs(period=view.compare, until=view.compare_until)
    return questions.bridge(current_reader().costs, base, current, CELLS[cells])


def ahead(view: View) -> Outlook:
    """This month's end and the next ninety days, from today on.

    Raises   BadInput where the history is too short, NotCalculated.
    """
    query = view.costs()
    today = view.now.date()
    key = ("outlook", query.projects, query.filters, query.basis, today)
    return kept(key, lambda: outlook(current_reader().costs, query, view.now, current_statistics()))
