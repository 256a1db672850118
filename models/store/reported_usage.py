"""Lines of providers' usage reports as charges: usage that is no call of ours, with its consumption and its bill."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.frames import USD, Schema
from models.core.reported import ReportedLine
from models.core.telemetry import Call, TokenCounts
from models.core.time import ns_of_utc
from models.core.vocabulary import BUCKETS, CallStatus, ChargeClass, PriceStatus, UsageSource
from models.costs.pooled import consumption_shares
from models.store.call_frame import call_frame
from models.store.calls import ensure_months
from models.store.closed_months import closed_months, enter_ledger
from models.store.interning import Interner
from models.store.ledger import Recorded, digests, record_charges
from models.store.tag_rules import live_rules

_ROW: Schema = {
    "project_id": pl.Int64(),
    "month": pl.Date(),
    "origin_id": pl.Binary(),
    "span_id": pl.Binary(),
    "charge_class": pl.String(),
    "end_at": pl.Datetime("us", "UTC"),
    "is_error": pl.Boolean(),
    "attribution_id": pl.Int64(),
    "unit_id": pl.Int64(),
    "price_status": pl.String(),
    "unpriced_reason": pl.String(),
    "list_cost": USD,
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
    **{bucket.value: pl.Int64() for bucket in BUCKETS},
}


def record_lines(connection: Connection, project_id: int, month: date, lines: Sequence[ReportedLine]) -> Recorded:
    """Make the charges of these lines of one month what the report says; the net is shared by consumption.

    The other lines of the month that earlier reports told stay and are shared with. A line of a closed month keeps
    what it was booked with; one that is new there is booked at its own net, as a correction in the open month.
    Safe to repeat: uq_charges_live allows one live charge per line, and equal ones are not written.
    """
    # Two imports of one month at a time would share over different sets of lines.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('reported_usage'), :project_id)"), {"project_id": project_id}
    )
    enter_ledger(connection, project_id)
    is_closed = month in closed_months(connection, project_id)
    rows = {row["origin_id"]: row for row in _told(connection, project_id, month, lines)}
    kept = _kept(connection, project_id, month, list(rows))
    if is_closed:
        for origin, row in rows.items():
            known = kept.get(origin)
            same = known is not None and (known["list_cost"], known["billed_cost"]) == (
                row["list_cost"],
                row["billed_cost"],
            )
            row["effective_cost"] = known["effective_cost"] if known is not None and same else row["billed_cost"]
    else:
        rows = {origin: row for origin, row in kept.items() if row["month"] == month} | rows
        shares = consumption_shares(
            {origin: row["billed_cost"] for origin, row in rows.items()},
            {origin: row["list_cost"] for origin, row in rows.items()},
        )
        for origin, row in rows.items():
            row["effective_cost"] = shares[origin]
    for row in rows.values():
        # At full scale, as the database gives them back: an equal line must have an equal digest.
        row["line_list_costs"] = f"{{{row['list_cost']:.15f}}}"
        row["line_billed_costs"] = f"{{{row['billed_cost']:.15f}}}"
        row["line_effective_costs"] = f"{{{row['effective_cost']:.15f}}}"
    frame = pl.DataFrame(list(rows.values()), schema=_ROW)
    ensure_months(connection, [month])
    return record_charges(connection, project_id, frame.with_columns(digests(frame)))


def _told(connection: Connection, project_id: int, month: date, lines: Sequence[ReportedLine]) -> list[dict[str, Any]]:
    interner = Interner()
    belongs = call_frame(project_id, [_owner(line) for line in lines], interner, live_rules(connection, project_id))
    interner.write(connection, project_id)
    return [
        _row(project_id, month, line.origin_id, _midnight(line.day), attribution, unit)
        | {
            "list_cost": line.list_cost,
            "billed_cost": line.net,
            "line_buckets": f"{{{line.bucket}}}",
            "line_quantities": f"{{{line.micro_units}}}",
            "line_prices_per_m": f"{{{line.price_per_unit:.9f}}}",
        }
        for line, attribution, unit in zip(lines, belongs["attribution_id"], belongs["unit_id"], strict=True)
    ]


def _row(project_id: int, month: date, origin_id: bytes, at: datetime, attribution: int, unit: int) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "month": month,
        "origin_id": origin_id,
        "span_id": b"",
        "charge_class": ChargeClass.REPORTED_USAGE.value,
        "end_at": at,
        "is_error": False,
        "attribution_id": attribution,
        "unit_id": unit,
        "price_status": PriceStatus.PRICED.value,
        "unpriced_tokens": 0,
        "line_rate_ids": "{NULL}",
    }


def _kept(
    connection: Connection, project_id: int, month: date, origins: Sequence[bytes]
) -> Mapping[bytes, dict[str, Any]]:
    """Lines of the month that have a live charge, and what was booked last for those asked for, wherever it lies."""
    found = connection.execute(
        text(
            "SELECT month, origin_id, end_at, attribution_id, unit_id, list_cost, billed_cost, effective_cost, "
            "line_buckets, line_quantities, line_prices_per_m FROM charges "
            "WHERE project_id = :project_id AND superseded_at IS NULL AND charge_class <> 'usage' "
            "AND ((month = :month AND charge_class = :reported) OR (origin_id = ANY(:origins) "
            "AND (charge_class = :reported OR correction_part IN ('late', 'rebooking')))) ORDER BY charge_id"
        ),
        {
            "project_id": project_id,
            "month": month,
            "origins": list(origins),
            "reported": ChargeClass.REPORTED_USAGE.value,
        },
    )
    return {
        bytes(row.origin_id): _row(
            project_id, row.month, bytes(row.origin_id), row.end_at, row.attribution_id, row.unit_id
        )
        | {
            "list_cost": row.list_cost,
            "billed_cost": row.billed_cost,
            "effective_cost": row.effective_cost,
            "line_buckets": f"{{{row.line_buckets[0]}}}",
            "line_quantities": f"{{{row.line_quantities[0]}}}",
            "line_prices_per_m": f"{{{row.line_prices_per_m[0]:.9f}}}",
        }
        for row in found
    }


def _owner(line: ReportedLine) -> Call:
    """The line in the shape of a call, so that ownership rules read it like one."""
    at = ns_of_utc(_midnight(line.day))
    stated = {"organization": line.organization, "repository": line.repository}
    return Call(
        trace_id=line.origin_id,
        span_id=b"",
        start_ns=at,
        end_ns=at,
        status=CallStatus.OK,
        provider=line.provider,
        model=line.model,
        request_model=None,
        operation=line.operation,
        instrumentation="",
        tokens=TokenCounts(),
        usage_source=UsageSource.REPORTED,
        convention="",
        user=line.user,
        cost_center=line.cost_center,
        service=line.service,
        tags={name: value for name, value in stated.items() if value is not None},
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
