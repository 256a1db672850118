"""Calls beside what they are charged, added up by what decides their price: what a dry run of new prices reads."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.vocabulary import BUCKETS, INPUT_BUCKETS, Detail, PriceStatus
from models.costs.alike import Alike, Kind, Lines
from models.store.calls import Key

SLICE_CALLS = 200_000
"""About so many calls are joined with their charges at a time."""
_MEMORY = "64MB"
"""What the join of a slice takes; with less it is written to disk."""

_LINES = "hash_record_extended(ROW({}, {}, {}, {}), 0)"
_COUNTS = ", ".join(f"c.{bucket}" for bucket in BUCKETS)
_DETAILS = ", ".join(f"'{detail}'" for detail in Detail)
_APART = f"(coalesce(c.details ?| ARRAY[{_DETAILS}], false) OR coalesce(least({_COUNTS}) < 0, false))"
"""What is rated call by call: counts beside the buckets, which take from them, and counts that cannot be."""
_BITS = {bucket.value: 1 << place for place, bucket in enumerate(BUCKETS)}
_USED = (
    f"CASE WHEN num_nonnulls({_COUNTS}) > 0 THEN "
    + " + ".join(f"CASE WHEN c.{bucket} > 0 THEN {bit} ELSE 0 END" for bucket, bit in _BITS.items())
    + " END"
)
"""The buckets with a count above zero as bits; null: no count is told."""


@dataclass(slots=True, frozen=True)
class Charged:
    """What the charges of calls that are alike say, in USD; None: unknown for every one of them."""

    is_usual: bool
    """Whether each has a charge of its own, by a provider: others are rated one by one."""
    is_same_call: bool
    """Whether each charge has the counts, the end, the status, the unit of work and the attribution of its call."""
    price_status: PriceStatus | None
    unpriced_reason: str | None
    unpriced_tokens: int
    effective_cost: Decimal | None
    uncached_cost: Decimal | None
    uncached_calls: int
    """How many of them have an uncached cost."""
    lines: int | None
    """Hash of what their lines say, as by `hash_of_lines`."""


def slices(
    connection: Connection, project_id: int, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """What of [start, end) holds calls, in parts that begin with an hour and have about SLICE_CALLS calls each."""
    scope = {"project_id": project_id, "start": start, "end": end}
    held = connection.execute(
        text(
            "SELECT min(end_at) AS first, max(end_at) + interval '1 microsecond' AS last FROM calls "
            "WHERE project_id = :project_id AND end_at >= :start AND end_at < :end"
        ),
        scope,
    ).one()
    if held.first is None:
        return
    hours = connection.execute(
        text(
            "SELECT period_start, sum(calls) AS calls FROM rollup_calls WHERE project_id = :project_id "
            "AND grain = 'hour' AND period_start > :start AND period_start < :end GROUP BY 1 ORDER BY 1"
        ),
        {**scope, "start": held.first, "end": held.last},
    ).all()
    begun, calls = held.first, 0
    for hour in hours:
        if calls >= SLICE_CALLS:
            yield begun, hour.period_start
            begun, calls = hour.period_start, 0
        calls += hour.calls
    yield begun, held.last


def calls_alike(
    connection: Connection,
    project_id: int,
    start: datetime,
    end: datetime,
    moments: Sequence[datetime],
    bands: Sequence[int],
) -> list[tuple[Alike, Charged]]:
    """The calls that end in [start, end) and can be told alike, with what their live charges say.

    `moments` are where prices may change between `start`, the first of them, and `end`; `bands` the total inputs from
    which they may. Both ascend.
    """
    total_input = " + ".join(f"coalesce(c.{bucket}, 0)" for bucket in INPUT_BUCKETS)
    same = " AND ".join(
        f"c.{name} IS NOT DISTINCT FROM h.{name}"
        for name in (*(bucket.value for bucket in BUCKETS), "end_at", "unit_id", "attribution_id")
    )
    lines = _LINES.format("h.line_buckets", "h.line_prices_per_m", "h.line_billed_prices_per_m", "h.line_assumptions")
    keys = {
        "provider": "c.provider",
        "model": "c.model",
        "service_tier": "c.service_tier",
        "region": "c.region",
        "moment": "width_bucket(c.end_at, CAST(:moments AS timestamptz[]))",
        "band": f"width_bucket({total_input}, CAST(:bands AS bigint[]))",
        "used": _USED,
        "is_usual": "h.charge_id IS NOT NULL AND h.deployment_id IS NULL",
        "is_same_call": f"{same} AND (c.status = 'error') = h.is_error",
        "price_status": "h.price_status",
        "unpriced_reason": "h.unpriced_reason",
        "lines": lines,
    }
    sums = {
        "calls": "count(*)",
        **{bucket.value: f"coalesce(sum(c.{bucket}), 0)" for bucket in BUCKETS},
        "unpriced_tokens": "sum(h.unpriced_tokens)",
        "effective_cost": "sum(h.effective_cost)",
        "uncached_cost": "sum(h.uncached_cost)",
        "uncached_calls": "count(h.uncached_cost)",
    }
    # The planner takes every call for a group of its own and would sort them all; few groups are hashed. Of hours that
    # came since the last ANALYZE it believes that they are empty, and would walk through all of them for each call of
    # one. And a plan that is kept for every slice knows nothing of how much lies in one.
    connection.execute(
        text(
            f"SET LOCAL enable_sort = off; SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '{_MEMORY}'; "
            "SET LOCAL plan_cache_mode = force_custom_plan"
        )
    )
    found = connection.execute(
        text(
            f"SELECT {', '.join(f'{value} AS {name}' for name, value in (keys | sums).items())} "
            "FROM calls c LEFT JOIN charges h ON h.origin_id = c.trace_id AND h.span_id = c.span_id "
            f"AND {_within('h')} AND h.charge_class = 'usage' AND h.superseded_at IS NULL "
            f"WHERE {_within('c')} AND NOT {_APART} "
            f"GROUP BY {', '.join(str(place) for place in range(1, len(keys) + 1))}"
        ),
        {**_scope(project_id, start, end), "moments": list(moments), "bands": list(bands)},
    ).all()
    return [(_alike(row, moments, bands), _charged(row)) for row in found]


def _alike(row: Any, moments: Sequence[datetime], bands: Sequence[int]) -> Alike:
    used = None if row.used is None else frozenset(bucket for bucket, bit in _BITS.items() if row.used & bit)
    return Alike(
        row.provider,
        row.model,
        row.service_tier,
        row.region,
        moments[row.moment - 1],
        bands[row.band - 1] if row.band else 0,
        used,
        row.calls,
        {bucket.value: int(getattr(row, bucket)) for bucket in BUCKETS},
    )


def _charged(row: Any) -> Charged:
    return Charged(
        row.is_usual,
        bool(row.is_same_call),
        row.price_status,
        row.unpriced_reason,
        int(row.unpriced_tokens or 0),
        row.effective_cost,
        row.uncached_cost,
        row.uncached_calls,
        row.lines,
    )


def hash_of_lines(connection: Connection, lines: Lines) -> int:
    """The 64-bit hash of what lines say, as the charges of `calls_alike` have it."""
    return connection.execute(
        text(
            "SELECT "
            + _LINES.format(
                "CAST(:buckets AS text[])",
                "CAST(:prices AS numeric[])",
                "CAST(:billed AS numeric[])",
                "CAST(:assumptions AS text[])",
            )
        ),
        {
            "buckets": list(lines.buckets),
            "prices": list(lines.prices_per_m),
            "billed": None if lines.billed_prices_per_m is None else list(lines.billed_prices_per_m),
            "assumptions": None if lines.assumptions is None else list(lines.assumptions),
        },
    ).scalar_one()


def calls_apart(
    connection: Connection, project_id: int, start: datetime, end: datetime, kinds: Collection[Kind]
) -> list[Key]:
    """The calls that end in [start, end) and are none of `calls_alike`, or of these kinds."""
    parameters = {
        "providers": [provider for provider, _, _ in kinds],
        "models": [model for _, model, _ in kinds],
        "used": [None if used is None else sum(_BITS[bucket] for bucket in used) for _, _, used in kinds],
    }
    found = connection.execute(
        text(
            f"SELECT c.trace_id, c.span_id FROM calls c WHERE {_within('c')} AND ({_APART} OR EXISTS (SELECT 1 FROM "
            "unnest(CAST(:providers AS text[]), CAST(:models AS text[]), CAST(:used AS int[])) "
            "AS kind (provider, model, used) WHERE kind.provider IS NOT DISTINCT FROM c.provider "
            f"AND kind.model IS NOT DISTINCT FROM c.model AND kind.used IS NOT DISTINCT FROM {_USED}))"
        ),
        {**_scope(project_id, start, end), **parameters},
    )
    return [(bytes(row.trace_id), bytes(row.span_id)) for row in found]


def _within(alias: str) -> str:
    return (
        f"{alias}.project_id = :project_id AND {alias}.end_at >= :start AND {alias}.end_at < :end "
        f"AND {alias}.month >= :first AND {alias}.month <= :last"
    )


def _scope(project_id: int, start: datetime, end: datetime) -> dict[str, object]:
    return {
        "project_id": project_id,
        "start": start,
        "end": end,
        "first": start.date().replace(day=1),
        "last": end.date(),
    }
