"""Answers of the reader in the shapes pages draw: whole lists, the largest groups, days, shares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from dashboards.reader import current_reader
from dashboards.view import View
from models.core.queries import CostQuery, CostRow, Costs
from models.core.vocabulary import INPUT_BUCKETS, CostBasis

MOST_PAGES = 20
"""Pages of an answer that a page follows before it says that it stops; 20,000 rows."""


def whole(query: CostQuery) -> Costs:
    """An answer with the rows of all its pages; `next_cursor` stays set where there were more than MOST_PAGES."""
    reader = current_reader()
    answer = reader.costs(query)
    rows = list(answer.rows)
    if answer.next_cursor is not None:
        # All the others at once: every asking adds up the same groups again.
        others = replace(query, cursor=answer.next_cursor, limit=(MOST_PAGES - 1) * query.limit)
        answer = reader.costs(others)
        rows.extend(answer.rows)
    return replace(answer, query=query, rows=rows)


def add(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known, or None where nothing is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def largest_first(rows: Iterable[CostRow], dimension: str, basis: CostBasis) -> list[CostRow]:
    """Rows by size; what has no value and what has no price come last."""
    return sorted(
        rows,
        key=lambda row: (
            row.keys.get(dimension) is None,
            row.cost(basis) is None,
            -(row.cost(basis) or Decimal(0)),
            row.keys.get(dimension) or "",
        ),
    )


@dataclass(slots=True, frozen=True)
class Group:
    """One value of a dimension (or the rest together) with its cost in the period and per day or month."""

    name: str | None
    cost: Decimal | None
    row: CostRow | None
    days: Mapping[date, Decimal]
    members: int = 1
    """How many values the rest stands for."""


def by_step(view: View, *only: tuple[str, str | None]) -> dict[date, Decimal]:
    """Cost per day or month of the view; one without priced calls is absent."""
    answer = whole(view.costs(by=view.grain, only=only))
    return {
        row.time.date(): cost
        for row in answer.rows
        if row.time is not None and (cost := row.cost(view.basis)) is not None
    }


def groups_by_step(view: View, dimension: str, most: int = 6) -> tuple[list[Group], Costs]:
    """The largest groups of a dimension with their days or months, the rest as one, and the answer with its totals.

    Laws   the costs of the groups sum to the total of the answer, and per step to the step's total.
    """
    answer = whole(view.costs(dimension))
    ordered = largest_first(answer.rows, dimension, view.basis)
    named = [row for row in ordered if row.keys.get(dimension) is not None and row.cost(view.basis) is not None]
    shown = named[:most]
    nameless = [row for row in ordered if row.keys.get(dimension) is None]
    chosen = [*shown, *nameless]
    days: dict[str | None, dict[date, Decimal]] = {row.keys.get(dimension): {} for row in chosen}
    if chosen:
        only = tuple((dimension, row.keys.get(dimension)) for row in chosen)
        for row in whole(view.costs(dimension, by=view.grain, only=only)).rows:
            cost = row.cost(view.basis)
            if row.time is not None and cost is not None and row.keys.get(dimension) in days:
                days[row.keys.get(dimension)][row.time.date()] = cost
    groups = [Group(row.keys.get(dimension), row.cost(view.basis), row, days[row.keys.get(dimension)]) for row in shown]
    rest = named[most:]
    if rest:
        total = by_step(view)
        left = {
            day: cost - sum((of.get(day, Decimal(0)) for of in days.values()), Decimal(0))
            for day, cost in total.items()
        }
        rest_days = {day: cost for day, cost in left.items() if cost}
        groups.append(Group("other", add(row.cost(view.basis) for row in rest), None, rest_days, members=len(rest)))
    groups.extend(Group(None, row.cost(view.basis), row, days[None]) for row in nameless)
    return groups, answer


def all_tokens(row: CostRow) -> int:
    """What the provider processed."""
    return sum(row.tokens.values())


def cache_hit(row: CostRow) -> Decimal | None:
    """Cache reads over all input tokens; None where no provider of the group reports them or there was no input."""
    reported = row.tokens.get("cache_read")
    entered = sum(row.tokens.get(bucket.value, 0) for bucket in INPUT_BUCKETS)
    return None if reported is None or not entered else Decimal(reported) / entered


def ratio(part: int | Decimal | None, whole_: int | None) -> Decimal | None:
    """Part over whole, None where either is unknown or there is no whole."""
    return None if part is None or not whole_ else Decimal(part) / whole_
