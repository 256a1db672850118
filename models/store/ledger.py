"""The ledger: charges are appended, superseded where they differ, and added to the rollups in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.vocabulary import BUCKETS, ChargeClass
from models.costs.rating import Rated
from models.store.bulk import array_text, copy_frame
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
_STAGE_COLUMNS = (
    "project_id, month, charge_id, origin_id, span_id, charge_class, end_at, is_error, attribution_id, unit_id, "
    "deployment_id, price_status, unpriced_reason, list_cost, billed_cost, effective_cost, uncached_cost, "
    "unpriced_tokens, "
    + ", ".join(_LINE_ARRAYS.values())
    + ", digest, book_id, recorded_at, superseded_at, "
    + ", ".join(bucket.value for bucket in BUCKETS)
)


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
    return frame.with_columns(_digests(frame))


_FULL = ("bucket", "quantity", "rate_id", "price_per_m", "list_cost")
_FREE = ("line_rate_ids", "line_billed_rate_ids", "book_id")
"""Not part of the digest: a book loaded again gives the same figures, so the charge stays."""


def _digests(frame: pl.DataFrame) -> pl.Series:
    names = [name for name in sorted(frame.columns) if name not in (*KEYS, *_FREE)]
    joined = pl.concat_str([pl.col(name).cast(pl.String).fill_null("\x00") for name in names], separator="\x1f")
    facts = frame.select(joined.alias("facts"))["facts"]
    return pl.Series("digest", [blake2b(fact.encode(), digest_size=16).digest() for fact in facts], dtype=pl.Binary)


def record_charges(connection: Connection, project_id: int, charges: pl.DataFrame) -> Recorded:
    """Append charges and supersede live ones of the same calls that differ; equal ones stay as they are.

    The caller holds the locks of the link groups. Safe to repeat: uq_charges_live allows one live charge per call,
    and a charge equal to the live one is not written.
    """
    live = connection.execute(
        text(
            "SELECT origin_id, span_id, charge_id, month, digest FROM charges WHERE project_id = :project_id "
            "AND origin_id = ANY(:origins) AND charge_class = 'usage' AND superseded_at IS NULL"
        ),
        {"project_id": project_id, "origins": charges["origin_id"].unique().to_list()},
    ).all()
    before = {(bytes(row.origin_id), bytes(row.span_id)): row for row in live}
    keep: list[bool] = []
    outdated: list[tuple[date, int]] = []
    for origin, span, digest in charges.select("origin_id", "span_id", "digest").iter_rows():
        found = before.get((origin, span))
        differs = found is None or bytes(found.digest) != digest
        keep.append(differs)
        if differs and found is not None:
            outdated.append((found.month, found.charge_id))
    fresh = charges.filter(pl.Series(keep, dtype=pl.Boolean))
    return _write(connection, fresh, outdated, unchanged=charges.height - fresh.height)


def supersede_charges(connection: Connection, project_id: int, keys: Sequence[tuple[bytes, bytes]]) -> Recorded:
    """Withdraw the charges of calls that no longer exist; they stay in the ledger with the moment they ended."""
    if not keys:
        return Recorded()
    rows = connection.execute(
        text(
            "SELECT c.month, c.charge_id FROM charges c "
            "JOIN unnest(CAST(:traces AS bytea[]), CAST(:spans AS bytea[])) AS gone (trace_id, span_id) "
            "ON c.origin_id = gone.trace_id AND c.span_id = gone.span_id "
            "WHERE c.project_id = :project_id AND c.charge_class = 'usage' AND c.superseded_at IS NULL"
        ),
        {"project_id": project_id, "traces": [key[0] for key in keys], "spans": [key[1] for key in keys]},
    ).all()
    return _write(connection, None, [(row.month, row.charge_id) for row in rows], unchanged=0)


def _write(
    connection: Connection, fresh: pl.DataFrame | None, outdated: Sequence[tuple[date, int]], unchanged: int
) -> Recorded:
    added = 0 if fresh is None else fresh.height
    if not added and not outdated:
        return Recorded(unchanged=unchanged)
    for stage in ("charges_in", "charges_out"):
        connection.execute(
            text(f"CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS TABLE charges WITH NO DATA")
        )
        connection.execute(text(f"DELETE FROM {stage}"))
    if outdated:
        connection.execute(
            text(
                "WITH gone AS (UPDATE charges c SET superseded_at = now() "
                "FROM unnest(CAST(:months AS date[]), CAST(:ids AS bigint[])) AS old (month, charge_id) "
                "WHERE c.month = old.month AND c.charge_id = old.charge_id AND c.superseded_at IS NULL RETURNING c.*) "
                f"INSERT INTO charges_out ({_STAGE_COLUMNS}) SELECT {_STAGE_COLUMNS} FROM gone"
            ),
            {"months": [each[0] for each in outdated], "ids": [each[1] for each in outdated]},
        )
    if fresh is not None and added:
        columns = ", ".join(fresh.columns)
        copy_frame(connection, "charges_in", fresh)
        connection.execute(text(f"INSERT INTO charges ({columns}) SELECT {columns} FROM charges_in"))
    add_parts(connection)
    change: Any = connection.execute(
        text(
            "SELECT coalesce((SELECT sum(effective_cost) FROM charges_in), 0)"
            " - coalesce((SELECT sum(effective_cost) FROM charges_out), 0)"
        )
    ).scalar_one()
    return Recorded(added=added, superseded=len(outdated), unchanged=unchanged, change=change)
