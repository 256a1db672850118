"""One hour of own capacity in the ledger: what has to be shared, and the charges that the shares become."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.frames import USD, Schema
from models.core.vocabulary import BUCKETS, ChargeClass, PriceStatus
from models.costs.hardware_charging import USED_CALLS, Shared
from models.store.bulk import array_text, copy_frame
from models.store.calls import ensure_months
from models.store.capacity import capacity_bills
from models.store.ledger import WRITTEN, apply_staged, digests, stage_changes, supersede_staged
from models.store.own_capacity import own_attribution

IDLE_LINE = "idle"
"""Bucket of the one line of an idle charge; its quantity is chip-seconds."""
CAPACITY_LINE = "capacity"
"""Bucket of the one line of a purchase: the chip-seconds provisioned."""
SHARE: Schema = {
    "month": pl.Date(),
    "charge_id": pl.Int64(),
    "price_status": pl.String(),
    "unpriced_reason": pl.String(),
    "unpriced_tokens": pl.Int64(),
    "billed_cost": USD,
    "effective_cost": USD,
    "line_billed_costs": pl.String(),
    "line_effective_costs": pl.String(),
}


@dataclass(slots=True, frozen=True)
class HourToShare:
    """Everything of one hour: charges of its calls as they stand, and its bills, deployments named by their id."""

    project_id: int
    hour: datetime
    charges: pl.DataFrame
    """One row per live usage charge, with USED_CALLS and SHARE among its columns."""
    bills: pl.DataFrame

    @property
    def calls(self) -> pl.DataFrame:
        """USED_CALLS."""
        return self.charges.select(list(USED_CALLS))


def load_hour(connection: Connection, project_id: int, hour: datetime) -> HourToShare:
    """Live charges on own hardware of an hour, and the bills of its capacity. The caller holds the ledger."""
    scope = {"project_id": project_id, "start": hour, "end": hour + timedelta(hours=1), "month": _month(hour)}
    buckets = ", ".join(bucket.value for bucket in BUCKETS)
    rows = connection.execute(
        text(
            "SELECT project_id, origin_id, span_id, deployment_id::text, "
            f"{buckets}, line_buckets, line_quantities, month, charge_id, price_status, unpriced_reason, "
            "unpriced_tokens, billed_cost, effective_cost, line_billed_costs::text, line_effective_costs::text "
            "FROM charges WHERE project_id = :project_id AND month = :month AND end_at >= :start AND end_at < :end "
            "AND deployment_id IS NOT NULL AND charge_class = 'usage' AND superseded_at IS NULL ORDER BY charge_id"
        ),
        scope,
    ).all()
    schema = {name: kind for name, kind in USED_CALLS.items() if name != "hour"} | SHARE
    charges = pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")
    bills = capacity_bills(connection, project_id, hour, hour + timedelta(hours=1))
    return HourToShare(
        project_id,
        hour,
        charges.with_columns(pl.lit(hour, dtype=USED_CALLS["hour"]).alias("hour")),
        bills.with_columns(pl.col("deployment_id").cast(pl.String).alias("deployment")).drop("deployment_id"),
    )


def write_shares(connection: Connection, found: HourToShare, shared: Shared) -> int:
    """Make the ledger and `deployment_hours` what was shared, touching only what differs; returns charges written.

    Safe to repeat: uq_charges_live allows one live charge per call, and one idle charge and purchase per
    deployment-hour; what equals the live ones is not written.
    """
    stage_changes(connection)
    amended = _stage_calls(connection, _shares(found, shared))
    others = _stage_others(connection, found, shared)
    if amended or others:
        ensure_months(connection, [_month(found.hour)])
        apply_staged(connection)
    _keep_hours(connection, found, shared)
    return amended + others


def _shares(found: HourToShare, shared: Shared) -> pl.DataFrame:
    """Rows of SHARE for the charges whose share is not what they say."""
    known = pl.col("effective_cost").is_not_null()
    tokens = pl.sum_horizontal(bucket.value for bucket in BUCKETS).cast(pl.Int64)
    costs = pl.col("line_costs").fill_null([])
    wanted = (
        found.charges.select("month", "charge_id", *(bucket.value for bucket in BUCKETS))
        .hstack(shared.calls.select("effective_cost", "line_costs", "problem"))
        .select(
            "month",
            "charge_id",
            pl.when(known)
            .then(pl.lit(PriceStatus.PRICED.value))
            .otherwise(pl.lit(PriceStatus.UNPRICED.value))
            .alias("price_status"),
            pl.col("problem").alias("unpriced_reason"),
            pl.when(known).then(0).otherwise(tokens).cast(pl.Int64).alias("unpriced_tokens"),
            # The provider bills nothing for the call: what is billed is the purchase of the capacity.
            pl.when(known).then(pl.lit(Decimal(0))).cast(USD).alias("billed_cost"),
            "effective_cost",
            pl.when(known).then(array_text(costs.list.eval(pl.element() * 0))).alias("line_billed_costs"),
            pl.when(known).then(array_text(costs)).alias("line_effective_costs"),
        )
    )
    compared = ("price_status", "unpriced_reason", "effective_cost", "line_effective_costs")
    before = found.charges.select(pl.col(name).alias(f"before_{name}") for name in compared)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"before_{name}")) for name in compared)
    return wanted.hstack(before).filter(differs).select(list(SHARE))


def _stage_calls(connection: Connection, shares: pl.DataFrame) -> int:
    if shares.is_empty():
        return 0
    columns = ", ".join(SHARE)
    connection.execute(
        text(
            "CREATE TEMP TABLE IF NOT EXISTS shares_in ON COMMIT DELETE ROWS AS "
            f"SELECT {columns} FROM charges WITH NO DATA"
        )
    )
    connection.execute(text("DELETE FROM shares_in"))
    copy_frame(connection, "shares_in", shares)
    on = "ON c.month = s.month AND c.charge_id = s.charge_id"
    supersede_staged(connection, f"JOIN shares_in s {on}", {})
    values = ", ".join(f"s.{name}" if name in SHARE else f"c.{name}" for name in WRITTEN)
    connection.execute(
        text(f"INSERT INTO charges_in ({', '.join(WRITTEN)}) SELECT {values} FROM charges_out c JOIN shares_in s {on}")
    )
    return shares.height


def _stage_others(connection: Connection, found: HourToShare, shared: Shared) -> int:
    """Idle time and purchase of every deployment-hour with a known bill."""
    month = _month(found.hour)
    live = connection.execute(
        text(
            "SELECT origin_id, charge_class, month, charge_id, digest FROM charges WHERE project_id = :project_id "
            "AND month = :month AND end_at = :hour AND charge_class IN ('idle', 'purchase') "
            "AND deployment_id IS NOT NULL AND superseded_at IS NULL"
        ),
        {"project_id": found.project_id, "month": month, "hour": found.hour},
    ).all()
    wanted = _other_charges(connection, found, shared)
    before = {(bytes(row.origin_id), row.charge_class): row for row in live}
    keys = list(wanted.select("origin_id", "charge_class", "digest").iter_rows())
    same = {key[:2] for key in keys if key[:2] in before and bytes(before[key[:2]].digest) == key[2]}
    gone = [row.charge_id for key, row in before.items() if key not in same]
    if gone:
        supersede_staged(
            connection,
            "JOIN unnest(CAST(:ids AS bigint[])) AS old (charge_id) "
            "ON c.charge_id = old.charge_id AND c.month = CAST(:month AS date)",
            {"ids": gone, "month": month},
        )
    fresh = wanted.filter(pl.Series([key[:2] not in same for key in keys], dtype=pl.Boolean))
    return copy_frame(connection, "charges_in", fresh) + len(gone)


def _other_charges(connection: Connection, found: HourToShare, shared: Shared) -> pl.DataFrame:
    names = {
        str(row.deployment_id): (row.name, row.accelerator)
        for row in connection.execute(
            text("SELECT deployment_id, name, accelerator FROM deployments WHERE project_id = :project_id"),
            {"project_id": found.project_id},
        )
    }
    rows: list[dict[str, Any]] = []
    for hour in shared.hours.filter(pl.col("bill").is_not_null()).iter_rows(named=True):
        attribution, unit = own_attribution(connection, found.project_id, *names[hour["deployment"]])
        used = hour["prefill_chip_seconds"] + hour["decode_chip_seconds"]
        idle_seconds = round(max(hour["chip_seconds"] - used, 0.0))
        nothing = Decimal(0)
        for kind, line, seconds, billed, effective in (
            (ChargeClass.IDLE, IDLE_LINE, idle_seconds, nothing, hour["idle_cost"]),
            (ChargeClass.PURCHASE, CAPACITY_LINE, round(hour["chip_seconds"]), hour["bill"], nothing),
        ):
            rows.append(
                {
                    "project_id": found.project_id,
                    "month": _month(found.hour),
                    "origin_id": capacity_origin(found.project_id, hour["deployment"], found.hour),
                    "span_id": b"",
                    "charge_class": kind.value,
                    "end_at": found.hour,
                    "is_error": False,
                    "attribution_id": attribution,
                    "unit_id": unit,
                    "deployment_id": int(hour["deployment"]),
                    "price_status": PriceStatus.PRICED.value,
                    "billed_cost": billed,
                    "effective_cost": effective,
                    "unpriced_tokens": 0,
                    "line_buckets": f"{{{line}}}",
                    "line_quantities": f"{{{seconds}}}",
                    "line_rate_ids": "{NULL}",
                    "line_prices_per_m": "{NULL}",
                    "line_list_costs": "{NULL}",
                    "line_billed_costs": f"{{{billed:f}}}",
                    "line_effective_costs": f"{{{effective:f}}}",
                }
            )
    frame = pl.DataFrame(rows, schema=_OTHER)
    return frame.with_columns(digests(frame))


_OTHER: Schema = {
    "project_id": pl.Int64(),
    "month": pl.Date(),
    "origin_id": pl.Binary(),
    "span_id": pl.Binary(),
    "charge_class": pl.String(),
    "end_at": pl.Datetime("us", "UTC"),
    "is_error": pl.Boolean(),
    "attribution_id": pl.Int64(),
    "unit_id": pl.Int64(),
    "deployment_id": pl.Int64(),
    "price_status": pl.String(),
    "billed_cost": USD,
    "effective_cost": USD,
    "unpriced_tokens": pl.Int64(),
    "line_buckets": pl.String(),
    "line_quantities": pl.String(),
    "line_rate_ids": pl.String(),
    "line_prices_per_m": pl.String(),
    "line_list_costs": pl.String(),
    "line_billed_costs": pl.String(),
    "line_effective_costs": pl.String(),
}


def capacity_origin(project_id: int, deployment: str, hour: datetime) -> bytes:
    """The origin of what belongs to a deployment-hour and to no trace: a hash, in the place of a trace id."""
    return blake2b(f"capacity\x1f{project_id}\x1f{deployment}\x1f{hour:%Y-%m-%dT%H}".encode(), digest_size=16).digest()


def _keep_hours(connection: Connection, found: HourToShare, shared: Shared) -> None:
    columns: Sequence[str] = (
        "calls",
        "uncached_tokens",
        "cached_tokens",
        "generated_tokens",
        "chip_seconds",
        "prefill_chip_seconds",
        "decode_chip_seconds",
        "bill",
        "prefill_cost",
        "decode_cost",
        "idle_cost",
        "evidence",
        "problem",
    )
    connection.execute(
        text("DELETE FROM deployment_hours WHERE project_id = :project_id AND hour = :hour"),
        {"project_id": found.project_id, "hour": found.hour},
    )
    rows = shared.hours.select(
        pl.lit(found.project_id, dtype=pl.Int64).alias("project_id"),
        pl.col("deployment").cast(pl.Int64).alias("deployment_id"),
        "hour",
        *columns,
    )
    copy_frame(connection, "deployment_hours", rows)


def _month(hour: datetime) -> Any:
    return hour.date().replace(day=1)
