"""The ledger: charges are appended, superseded where they differ, and added to the rollups in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.vocabulary import BUCKETS, ChargeClass
from models.costs.rating import Rated
from models.store.bulk import array_text, copy_frame
from models.store.calls import ensure_months
from models.store.capacity_queue import mark_staged_hours
from models.store.closed_months import (
    Amendments,
    amendments,
    closed_months,
    corrections,
    enter_ledger,
    live_charges,
    stage_reversals,
    wanted_of,
)
from models.store.rollups import add_parts

KEYS = ("project_id", "origin_id", "span_id")
_LINE_ARRAYS: dict[str, str] = {
    "bucket": "line_buckets",
    "quantity": "line_quantities",
    "rate_id": "line_rate_ids",
    "price_per_m": "line_prices_per_m",
    "list_cost": "line_list_costs",
    "billed_rate_id": "line_billed_rate_ids",
    "billed_price_per_m": "line_billed_prices_per_m",
    "billed_cost": "line_billed_costs",
    "effective_cost": "line_effective_costs",
    "cost_without_cache": "line_uncached_costs",
    "assumption": "line_assumptions",
}
STAGE_COLUMNS = (
    "project_id, month, charge_id, origin_id, span_id, charge_class, end_at, is_error, attribution_id, unit_id, "
    "deployment_id, price_status, unpriced_reason, list_cost, billed_cost, effective_cost, uncached_cost, "
    "unpriced_tokens, "
    + ", ".join(_LINE_ARRAYS.values())
    + ", digest, book_id, recorded_at, superseded_at, correction_part, usage_at, corrects_id, call_count, "
    + ", ".join(bucket.value for bucket in BUCKETS)
)

WRITTEN = tuple(name for name in STAGE_COLUMNS.split(", ") if name not in ("charge_id", "recorded_at", "superseded_at"))


@dataclass(slots=True, frozen=True)
class Recorded:
    """What recording did to the ledger."""

    added: int = 0
    superseded: int = 0
    unchanged: int = 0
    change: Decimal = Decimal(0)
    """Effective cost added less effective cost superseded, over what is priced."""


def charge_frame(calls: pl.DataFrame, rated: Rated, book_id: int | None) -> pl.DataFrame:
    """Charges as rows of `charges`: what rating says of each call, its lines inside, and where the call belongs.

    Shapes   rows of `calls` (n) and their Rated → n rows.
    """
    lines = rated.lines.with_columns(
        # The words of an assumption may hold commas and quotes: quoted as PostgreSQL reads array elements.
        pl.when(pl.col("assumption").is_not_null()).then(
            pl.lit('"')
            + pl.col("assumption").str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
            + pl.lit('"')
        )
    )
    same = {"billed_rate_id": "rate_id", "billed_price_per_m": "price_per_m", "billed_cost": "list_cost"}
    same |= {"effective_cost": "billed_cost", "cost_without_cache": "list_cost"}
    by_call = lines.group_by(KEYS, maintain_order=True).agg(
        *(array_text(pl.col(name).implode()).first().alias(array) for name, array in _LINE_ARRAYS.items()),
        *(pl.col(name).eq_missing(pl.col(other)).all().alias(f"same_{name}") for name, other in same.items()),
        pl.col("assumption").is_null().all().alias("same_assumption"),
    )
    by_call = by_call.with_columns(
        pl.when(~pl.col(f"same_{name}")).then(pl.col(_LINE_ARRAYS[name])).alias(_LINE_ARRAYS[name])
        for name in (*same, "assumption")
    )
    belongs = calls.select(
        "project_id",
        pl.col("trace_id").alias("origin_id"),
        "span_id",
        "month",
        "end_at",
        (pl.col("status") == "error").alias("is_error"),
        "attribution_id",
        "unit_id",
        *(bucket.value for bucket in BUCKETS),
    )
    frame = (
        rated.charges.join(belongs, on=KEYS, how="left", maintain_order="left")
        .join(by_call, on=KEYS, how="left", maintain_order="left")
        .with_columns(
            pl.lit(ChargeClass.USAGE.value).alias("charge_class"),
            *(pl.col(_LINE_ARRAYS[name]).fill_null("{}") for name in _FULL),
            pl.col("cost_without_cache").alias("uncached_cost"),
            pl.lit(book_id, dtype=pl.Int64).alias("book_id"),
        )
        .drop("cost_without_cache", *(f"same_{name}" for name in (*same, "assumption")))
    )
    return frame.with_columns(digests(frame))


_FULL = ("bucket", "quantity", "rate_id", "price_per_m", "list_cost")
_FREE = ("line_rate_ids", "line_billed_rate_ids", "book_id")
"""Not part of the digest: a book loaded again gives the same figures, so the charge stays."""


def digests(frame: pl.DataFrame) -> pl.Series:
    """Hash of the facts of each charge: an equal one means that nothing has to be superseded."""
    names = [name for name in sorted(frame.columns) if name not in (*KEYS, *_FREE, "attribution_id")]
    joined = pl.concat_str([pl.col(name).cast(pl.String).fill_null("\x00") for name in names], separator="\x1f")
    facts = frame.select(joined.alias("facts"))["facts"]
    return pl.Series("digest", [blake2b(fact.encode(), digest_size=16).digest() for fact in facts], dtype=pl.Binary)


def record_charges(connection: Connection, project_id: int, charges: pl.DataFrame) -> Recorded:
    """Append charges and supersede live ones of the same calls that differ; equal ones stay as they are.

    What would change a closed month is booked as corrections in the open one instead. The caller holds the locks of
    the link groups. Safe to repeat: uq_charges_live allows one live charge per call, uq_charges_corrections one
    correction of a kind, and what equals the live ones is not written.
    """
    enter_ledger(connection, project_id)
    closed = closed_months(connection, project_id)
    live = live_charges(connection, project_id, charges["origin_id"].unique().to_list())
    keep: list[bool] = []
    outdated: list[Any] = []
    for origin, span, month, digest, belongs in charges.select(
        "origin_id", "span_id", "month", "digest", "attribution_id"
    ).iter_rows():
        open_usage = [
            row for row in live.get((origin, span), ()) if row.charge_class != "correction" and row.month not in closed
        ]
        same = [row for row in open_usage if bytes(row.digest) == digest and row.attribution_id == belongs]
        keep.append(not same and month not in closed)
        outdated += [row for row in open_usage if row not in same]
    fresh = charges.filter(pl.Series(keep, dtype=pl.Boolean))
    found = amendments(connection, closed, live, wanted_of(charges) if closed or _has_corrections(live) else {})
    booked = corrections(charges, found) if found.bookings else None
    kept = charges.height - fresh.height - (0 if booked is None else booked.height)
    parts = [frame for frame in (fresh, booked) if frame is not None and not frame.is_empty()]
    return _write(connection, parts, outdated, kept, found)


def supersede_charges(connection: Connection, project_id: int, keys: Sequence[tuple[bytes, bytes]]) -> Recorded:
    """Withdraw the charges of calls that no longer exist; they stay in the ledger with the moment they ended.

    Those of closed months are taken back by a correction.
    """
    if not keys:
        return Recorded()
    enter_ledger(connection, project_id)
    closed = closed_months(connection, project_id)
    live = live_charges(connection, project_id, {key[0] for key in keys})
    found = amendments(connection, closed, live, dict.fromkeys(keys))
    outdated = [
        row for key in keys for row in live.get(key, ()) if row.charge_class != "correction" and row.month not in closed
    ]
    return _write(connection, [], outdated, 0, found)


def _has_corrections(live: Mapping[tuple[bytes, bytes], Sequence[Any]]) -> bool:
    return any(row.charge_class == "correction" for rows in live.values() for row in rows)


def _write(
    connection: Connection,
    fresh: Sequence[pl.DataFrame],
    replaced: Sequence[Any],
    unchanged: int,
    found: Amendments,
) -> Recorded:
    outdated = [(row.month, row.charge_id) for row in replaced] + found.outdated
    added = sum(frame.height for frame in fresh) + len(found.reversals)
    if not added and not outdated:
        return Recorded(unchanged=unchanged)
    stage_changes(connection)
    if outdated:
        supersede_staged(
            connection,
            "JOIN unnest(CAST(:months AS date[]), CAST(:ids AS bigint[])) AS old (month, charge_id) "
            "ON c.month = old.month AND c.charge_id = old.charge_id",
            {"months": [each[0] for each in outdated], "ids": [each[1] for each in outdated]},
        )
    for frame in fresh:
        copy_frame(connection, "charges_in", frame)
    if found.reversals or found.bookings:
        ensure_months(connection, [found.booked_at.date().replace(day=1)])
        stage_reversals(connection, WRITTEN, found)
    mark_staged_hours(connection)
    change = apply_staged(connection)
    return Recorded(added=added, superseded=len(outdated), unchanged=unchanged, change=change)


def stage_changes(connection: Connection) -> None:
    """Empty `charges_in` and `charges_out`, the temporary tables of what comes and what goes."""
    for stage in ("charges_in", "charges_out"):
        connection.execute(
            text(f"CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS TABLE charges WITH NO DATA")
        )
        connection.execute(text(f"DELETE FROM {stage}"))


def supersede_staged(connection: Connection, chosen: str, parameters: Mapping[str, Any]) -> int:
    """Supersede live charges `c` chosen by a JOIN clause and keep them in `charges_out`; returns how many.

    Raises   the database's restrict_violation where one lies in a closed month.
    """
    return connection.execute(
        text(
            f"WITH chosen AS (SELECT c.month, c.charge_id FROM charges c {chosen}), "
            "gone AS (UPDATE charges c SET superseded_at = now() FROM chosen "
            "WHERE c.month = chosen.month AND c.charge_id = chosen.charge_id AND c.superseded_at IS NULL "
            "RETURNING c.*) "
            f"INSERT INTO charges_out ({STAGE_COLUMNS}) SELECT {STAGE_COLUMNS} FROM gone"
        ),
        parameters,
    ).rowcount


def apply_staged(connection: Connection) -> Decimal:
    """Append what is staged in `charges_in` and bring the rollups up to date; returns the change in effective cost."""
    columns = ", ".join(WRITTEN)
    connection.execute(text(f"INSERT INTO charges ({columns}) SELECT {columns} FROM charges_in"))
    add_parts(connection)
    change: Any = connection.execute(
        text(
            "SELECT coalesce((SELECT sum(effective_cost) FROM charges_in), 0)"
            " - coalesce((SELECT sum(effective_cost) FROM charges_out), 0)"
        )
    ).scalar_one()
    return change
