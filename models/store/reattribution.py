"""Moving costs to other owners without reading a span again: a dry run says what would move, applying moves it.

Only months that are not closed are touched. A moved charge is superseded by its copy with the new attribution, so the
sum stays what it was, and what it belonged to before can still be asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.frames import USD
from models.core.vocabulary import WIDE_DIMENSIONS
from models.costs.attribution_rules import TagRule
from models.store.closed_months import closed_months, hold_ledger
from models.store.interning import ATTRIBUTION, Interner
from models.store.ledger import WRITTEN, apply_staged, stage_changes, supersede_staged
from models.store.tag_rules import live_rules
from models.store.tagging import TAG, TARGETS, Interned, boundaries, with_owners

USAGE_AT = "coalesce(c.usage_at, c.end_at)"
_OWNED = (
    "c.project_id = :project_id AND c.superseded_at IS NULL "
    "AND (c.charge_class IN ('usage', 'reported_usage') OR c.correction_part = 'late')"
)
"""What rules decide about: calls, lines of reports, and those that arrived after their month was closed."""

_CALLS = "count(*) FILTER (WHERE c.charge_class = 'usage' OR c.call_count > 0)"

MOVES = {
    "month": pl.Date(),
    "target": pl.String(),
    "before": pl.String(),
    "after": pl.String(),
    "calls": pl.Int64(),
    "effective_cost": USD,
    "unpriced_calls": pl.Int64(),
}


@dataclass(slots=True)
class Moved:
    """What moves, or moved: the calls, and by month and target the money from one value to another."""

    calls: int = 0
    moves: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MOVES))
    """MOVES; null: unallocated. A cost leaves one value and reaches one, so each target's sum stays what it was."""
    closed: Sequence[date] = ()
    """Closed months: they keep what they have."""


def dry_run(connection: Connection, project_id: int, rules: Sequence[TagRule]) -> Moved:
    """What would move if these were the rules in force."""
    closed = closed_months(connection, project_id)
    groups = _groups(connection, project_id, rules, "c.month <> ALL(:closed)", {"closed": sorted(closed)})
    after, _ = _owned(connection, project_id, groups, rules)
    return _summary(after, sorted(closed))


def open_days(connection: Connection, project_id: int) -> list[date]:
    """UTC days of open months on which charges that rules decide about were booked."""
    closed = closed_months(connection, project_id)
    return list(
        connection.execute(
            text(
                f"SELECT DISTINCT (c.end_at AT TIME ZONE 'UTC')::date AS day FROM charges c WHERE {_OWNED} "
                "AND c.month <> ALL(:closed) ORDER BY day"
            ),
            {"project_id": project_id, "closed": sorted(closed)},
        ).scalars()
    )


def apply_day(connection: Connection, project_id: int, day: date) -> Moved:
    """Give the charges of one UTC day to the owners that the rules in force name.

    Holds the ledger of the project until the transaction ends. Safe to repeat: what has its owner does not move.
    """
    hold_ledger(connection, project_id)
    closed = closed_months(connection, project_id)
    month = day.replace(day=1)
    if month in closed:
        return Moved()
    rules = live_rules(connection, project_id)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    scope = {"month": month, "start": start, "end": start + timedelta(days=1)}
    where = "c.month = :month AND c.end_at >= :start AND c.end_at < :end"
    groups = _groups(connection, project_id, rules, where, scope)
    after, interner = _owned(connection, project_id, groups, rules)
    moving = after.filter(pl.col("belongs") != pl.col("attribution_id"))
    if moving.is_empty():
        return Moved()
    interner.write(connection, project_id)
    _move(connection, project_id, rules, moving, where, scope)
    return _summary(after, ())


def merged(parts: Sequence[Moved], closed: Sequence[date]) -> Moved:
    """The moves of several days as one."""
    table = pl.concat([part.moves for part in parts]) if parts else pl.DataFrame(schema=MOVES)
    return Moved(sum(part.calls for part in parts), _added(table), closed)


def _groups(
    connection: Connection, project_id: int, rules: Sequence[TagRule], where: str, scope: dict[str, Any]
) -> pl.DataFrame:
    """Charges added up by what decides about their owner: attribution, unit of work where asked, segment of time."""
    rows = connection.execute(
        text(
            f"SELECT c.month, c.attribution_id, {_unit(rules)} AS unit_id, {_segment(USAGE_AT)} AS segment, "
            f"min({USAGE_AT}) AS at, {_CALLS} AS calls, sum(c.effective_cost) AS effective_cost, "
            "count(*) FILTER (WHERE c.price_status = 'unpriced') AS unpriced_calls "
            f"FROM charges c WHERE {_OWNED} AND {where} GROUP BY 1, 2, 3, 4"
        ),
        {"project_id": project_id, "cuts": boundaries(rules), **scope},
    ).all()
    schema = {"month": pl.Date, "attribution_id": pl.Int64, "unit_id": pl.Int64, "segment": pl.Int64}
    schema |= {"at": pl.Datetime("us", "UTC"), "calls": pl.Int64, "effective_cost": USD, "unpriced_calls": pl.Int64}
    return pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")


def _unit(rules: Sequence[TagRule]) -> str:
    asked = {condition.dimension for rule in rules for condition in rule.conditions}
    return "c.unit_id" if any(name in WIDE_DIMENSIONS or name.startswith(TAG) for name in asked) else "0::bigint"


def _segment(at: str) -> str:
    return f"width_bucket({at}, CAST(:cuts AS timestamptz[]))"


def _owned(
    connection: Connection, project_id: int, groups: pl.DataFrame, rules: Sequence[TagRule]
) -> tuple[pl.DataFrame, Interner]:
    interner = Interner()
    return with_owners(groups, rules, _interned(connection, project_id, groups), interner), interner


def _interned(connection: Connection, project_id: int, groups: pl.DataFrame) -> Interned:
    found = connection.execute(
        text(
            f"SELECT attribution_id, {', '.join(ATTRIBUTION)} FROM attributions "
            "WHERE project_id = :project_id AND attribution_id = ANY(:ids)"
        ),
        {"project_id": project_id, "ids": groups["attribution_id"].unique().to_list()},
    )
    units = connection.execute(
        text(
            "SELECT unit_id, task, session, user_id, tags FROM work_units "
            "WHERE project_id = :project_id AND unit_id = ANY(:ids)"
        ),
        {"project_id": project_id, "ids": groups["unit_id"].unique().to_list()},
    )
    return Interned({row[0]: tuple(row[1:]) for row in found}, {row[0]: tuple(row[1:]) for row in units})


def _move(
    connection: Connection,
    project_id: int,
    rules: Sequence[TagRule],
    moving: pl.DataFrame,
    where: str,
    scope: dict[str, Any],
) -> None:
    moves = moving.select("attribution_id", "unit_id", "segment", "belongs").unique()
    parameters = {
        "project_id": project_id,
        "cuts": boundaries(rules),
        **scope,
        **{name: moves[name].to_list() for name in moves.columns},
    }
    table = (
        "unnest(CAST(:attribution_id AS bigint[]), CAST(:unit_id AS bigint[]), CAST(:segment AS bigint[]), "
        "CAST(:belongs AS bigint[])) AS m (attribution_id, unit_id, segment, belongs)"
    )
    unit = _unit(rules)

    def matches(at: str) -> str:
        return f"c.attribution_id = m.attribution_id AND {unit} = m.unit_id AND {_segment(at)} = m.segment"

    stage_changes(connection)
    supersede_staged(connection, f"JOIN {table} ON {matches(USAGE_AT)} WHERE {_OWNED} AND {where}", parameters)
    names = ", ".join(WRITTEN)
    values = ", ".join("m.belongs" if name == "attribution_id" else f"c.{name}" for name in WRITTEN)
    connection.execute(
        text(
            f"INSERT INTO charges_in ({names}) SELECT {values} FROM charges_out c JOIN {table} ON {matches(USAGE_AT)}"
        ),
        parameters,
    )
    apply_staged(connection)
    # The calls themselves, wherever they lie: pricing them again must find the same owner.
    connection.execute(
        text(
            f"UPDATE calls k SET attribution_id = m.belongs FROM charges_out c JOIN {table} ON {matches(USAGE_AT)} "
            "WHERE k.project_id = :project_id AND k.trace_id = c.origin_id AND k.span_id = c.span_id "
            "AND k.attribution_id = m.attribution_id"
        ),
        parameters,
    )
    # Shares of moved calls carry the owner they had: pricing the calls again gives them the new one.
    connection.execute(
        text(
            "INSERT INTO unrated_calls (project_id, trace_id, span_id) SELECT DISTINCT s.project_id, s.origin_id, "
            "s.span_id FROM charges_out c JOIN allocations s ON s.project_id = c.project_id "
            "AND s.origin_id = c.origin_id AND s.span_id = c.span_id"
        )
    )


def _summary(after: pl.DataFrame, closed: Sequence[date]) -> Moved:
    parts = [
        after.filter(pl.col(target).ne_missing(pl.col(f"{target}_before"))).select(
            "month",
            pl.lit(target).alias("target"),
            pl.col(f"{target}_before").alias("before"),
            pl.col(target).alias("after"),
            "calls",
            "effective_cost",
            "unpriced_calls",
        )
        for target in TARGETS
    ]
    moving = after.filter(pl.any_horizontal(pl.col(t).ne_missing(pl.col(f"{t}_before")) for t in TARGETS))
    return Moved(int(moving["calls"].sum()), _added(pl.concat(parts)), closed)


def _added(moves: pl.DataFrame) -> pl.DataFrame:
    cost = pl.col("effective_cost")
    return (
        moves.group_by("month", "target", "before", "after")
        .agg(
            pl.col("calls").sum(),
            pl.when(cost.is_not_null().any()).then(cost.sum()).otherwise(None).alias("effective_cost"),
            pl.col("unpriced_calls").sum(),
        )
        .select(list(MOVES))
        .sort("month", "target", "before", "after")
    )
