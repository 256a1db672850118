"""Spend analytics asked of a cost reader: from rows of costs to cells, months and days. No I/O of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from models.core.queries import CostQuery, CostRow, Costs
from models.core.running import Run
from models.core.vocabulary import Granularity
from models.costs.decomposition import Cell, Decomposition, decompose
from models.costs.elasticity import Day, Elasticity, elasticity
from models.costs.index import IndexPoint, Item, Period, chained

Ask = Callable[[CostQuery], Costs]
"""Answers one page of a question about costs, such as `Reader.costs`."""

ITEM = ("provider", "model", "bucket")
PAGE = 10_000
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True, kw_only=True)
class Bridge:
    """A decomposition, with what it counts as activity and what it had to leave out."""

    found: Decomposition
    dimensions: Sequence[str]
    activity: str
    """`tasks`; `calls` where some spending cell has no task."""
    unpriced_tokens: int
    """Tokens of both periods without a price: not in any figure."""


def all_rows(ask: Ask, query: CostQuery) -> list[CostRow]:
    """The rows of every page."""
    rows, cursor = list[CostRow](), None
    while True:
        page = ask(replace(query, limit=PAGE, cursor=cursor))
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows


def bridge(ask: Ask, base: CostQuery, current: CostQuery, dimensions: Sequence[str]) -> Bridge:
    """Why the bill moved between two periods, by cells of the dimensions.

    Units    costs on the basis of each query; what is unpriced is left out of cost and tokens alike.
    """
    names = tuple(name for name in dimensions if name != "bucket")
    questions = [replace(query, group_by=names, granularity=Granularity.NONE) for query in (base, current)]
    periods = [_Counted.of(ask, question) for question in questions]
    by_task = all(period.tasks.get(key) for period in periods for key in period.spending)
    cells = [period.cells(by_task=by_task) for period in periods]
    return Bridge(
        found=decompose(*cells),
        dimensions=names,
        activity="tasks" if by_task else "calls",
        unpriced_tokens=sum(period.unpriced_tokens for period in periods),
    )


Key = tuple[str | None, ...]


@dataclass(slots=True, frozen=True)
class _Counted:
    """One period: calls and tasks by cell, tokens and cost by cell and bucket."""

    calls: dict[Key, int]
    tasks: dict[Key, int]
    tokens: dict[Key, dict[str, Decimal]]
    costs: dict[Key, dict[str, Decimal]]
    unpriced_tokens: int

    @staticmethod
    def of(ask: Ask, query: CostQuery) -> "_Counted":
        names = query.group_by
        counted = _Counted({}, {}, {}, {}, 0)
        for row in all_rows(ask, query):
            key = tuple(row.keys[name] for name in names)
            counted.calls[key], counted.tasks[key] = row.calls or 0, row.tasks or 0
        unpriced = 0
        for row in all_rows(ask, replace(query, group_by=(*names, "bucket"))):
            key, bucket = tuple(row.keys[name] for name in names), row.keys["bucket"] or ""
            cost = row.cost(query.basis)
            unpriced += row.unpriced_tokens
            if cost is not None:
                counted.costs.setdefault(key, {})[bucket] = cost
                tokens = row.tokens.get(bucket, 0) - row.unpriced_tokens
                counted.tokens.setdefault(key, {})[bucket] = Decimal(max(tokens, 0))
        return replace(counted, unpriced_tokens=unpriced)

    @property
    def spending(self) -> list[Key]:
        """Cells with any cost."""
        return [key for key, costs in self.costs.items() if any(costs.values())]

    def cells(self, *, by_task: bool) -> list[Cell]:
        """The cells of the decomposition."""
        return [
            Cell(
                key=key,
                activity=Decimal((self.tasks if by_task else self.calls).get(key, 0)),
                calls=Decimal(self.calls.get(key, 0)),
                tokens=self.tokens[key],
                costs=costs,
            )
            for key, costs in self.costs.items()
        ]


def price_index(ask: Ask, query: CostQuery, width: Granularity = Granularity.MONTH) -> list[IndexPoint]:
    """Price index, volume index and bill by month (or day), over priced items that have tokens."""
    periods = _periods(ask, query, width)
    tasks = {
        _label(row.time, width): row.tasks
        for row in all_rows(ask, replace(query, group_by=(), granularity=width))
        if row.time is not None
    }
    return chained([replace(period, tasks=tasks.get(period.label)) for period in periods])


def elasticity_by_day(ask: Ask, query: CostQuery, run: Run) -> Elasticity:
    """Elasticity of volume to price from the daily index of the period. Days of a new chain are left out.

    Raises   NotCalculated where `run` fails.
    """
    points = chained(_periods(ask, query, Granularity.DAY))
    days, previous = list[Day](), None
    for point in points:
        if previous is not None and point.chain != previous:
            days.append(Day(day=date.fromisoformat(point.label), price=0.0, volume=0.0))
        else:
            price, volume = float(point.price_index), float(point.volume_index)
            days.append(Day(day=date.fromisoformat(point.label), price=price, volume=volume))
        previous = point.chain
    return run(elasticity, days)


def daily_spend(ask: Ask, query: CostQuery) -> tuple[date, list[Decimal]]:
    """Spend of each whole day from the first with any, days without spend as 0 (nothing was bought, and that is known).

    Shapes   the first day and one cost per day up to the end of the query, exclusive; empty without any spend.
    """
    spent = {
        row.time.date(): cost
        for row in all_rows(ask, replace(query, group_by=(), granularity=Granularity.DAY))
        if row.time is not None and (cost := row.cost(query.basis)) is not None
    }
    if not spent:
        return query.start.date(), []
    first = min(spent)
    length = (query.end.date() - first).days
    return first, [spent.get(first + timedelta(days=number), ZERO) for number in range(length)]


def _periods(ask: Ask, query: CostQuery, width: Granularity) -> list[Period]:
    quantities: dict[str, dict[Item, Decimal]] = {}
    costs: dict[str, dict[Item, Decimal]] = {}
    for row in all_rows(ask, replace(query, group_by=ITEM, granularity=width)):
        bucket, cost = row.keys["bucket"] or "", row.cost(query.basis)
        quantity = row.tokens.get(bucket, 0) - row.unpriced_tokens
        if row.time is None or cost is None or quantity <= 0:
            continue
        item, label = (row.keys["provider"], row.keys["model"], bucket), _label(row.time, width)
        quantities.setdefault(label, {})[item] = Decimal(quantity)
        costs.setdefault(label, {})[item] = cost
    return [Period(label=label, quantities=quantities[label], costs=costs[label]) for label in sorted(costs)]


def _label(moment: datetime, width: Granularity) -> str:
    return moment.strftime("%Y-%m" if width is Granularity.MONTH else "%Y-%m-%d")
