"""Charges of closed months: what would change them becomes corrections in the open month."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.vocabulary import BUCKETS, ChargeClass
from models.costs.bookings import Amendment, Booked, Part, Wanted, amend, booking_moment
from models.store.lookups import rows_by_key

LEDGER_LOCK = 0x6A6C6467
"""Advisory lock per project: writers of the ledger share it; closing a month and moving owners hold it alone."""
COSTS = ("list_cost", "billed_cost", "effective_cost")
TOKENS = tuple(bucket.value for bucket in BUCKETS)
Key = tuple[bytes, bytes]


def enter_ledger(connection: Connection, project_id: int) -> None:
    """Take part in writing the ledger until the transaction ends; waits while a month is being closed.

    Call it after the locks of link groups and before reading calls, charges or rules that the writing rests on.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock_shared(:lock, :project_id)"),
        {"lock": LEDGER_LOCK, "project_id": project_id},
    )


def hold_ledger(connection: Connection, project_id: int) -> None:
    """Have the ledger of a project alone until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:lock, :project_id)"), {"lock": LEDGER_LOCK, "project_id": project_id}
    )


def closed_months(connection: Connection, project_id: int) -> frozenset[date]:
    """First days of the months that are closed."""
    return frozenset(
        connection.execute(
            text("SELECT month FROM periods WHERE project_id = :project_id AND state = 'closed'"),
            {"project_id": project_id},
        ).scalars()
    )


@dataclass(slots=True)
class Amendments:
    """What the open month has to carry."""

    booked_at: datetime
    reversals: list[tuple[date, int]] = field(default_factory=list[tuple[date, int]])
    """(month, charge) of closed months to be taken back."""
    bookings: list[tuple[Key, Part, int | None, int]] = field(default_factory=list[tuple[Key, Part, int | None, int]])
    """Wanted charges to be booked as corrections: key, part, the charge corrected, calls added."""
    outdated: list[tuple[date, int]] = field(default_factory=list[tuple[date, int]])
    """(month, charge) of open months that are live and no longer wanted."""


def live_charges(connection: Connection, project_id: int, origins: Collection[bytes]) -> dict[Key, list[Any]]:
    """Rows of usage and correction charges that are live, by call or line of a report."""
    found: dict[Key, list[Any]] = {}
    columns = (
        "origin_id, span_id, charge_id, month, end_at, deployment_id, charge_class, correction_part, corrects_id, "
        f"call_count, price_status, digest, attribution_id, {', '.join((*COSTS, *TOKENS))}"
    )
    # Corrections have an index of their own. Asked for together with the others, neither index serves, and every
    # batch of spans would scan all the charges there are.
    live = (
        "superseded_at IS NULL AND charge_class <> 'correction' "
        "AND charge_class IN ('usage', 'reported_usage', 'allocation')",
        "superseded_at IS NULL AND charge_class = 'correction'",
    )
    for row in rows_by_key(connection, project_id, columns, "charges", "origin_id", set(origins), live):
        found.setdefault((bytes(row.origin_id), bytes(row.span_id)), []).append(row)
    return found


def amendments(
    connection: Connection,
    closed: Collection[date],
    live: Mapping[Key, Sequence[Any]],
    wanted: Mapping[Key, tuple[date, Wanted] | None],
) -> Amendments:
    """Corrections for the calls whose month is closed, or that have charges in a closed month or corrections.

    Shapes   live charges by call × wanted (month of the usage and its facts; None: the call is gone).
    """
    at: datetime = connection.execute(text("SELECT now()")).scalar_one()
    found = Amendments(booking_moment(closed, at))
    for key, want in wanted.items():
        booked = [_booked(row) for row in live.get(key, ())]
        in_closed = want is not None and want[0] in closed
        if not in_closed and not any(each.month in closed or each.part for each in booked):
            continue
        amendment = amend(booked, closed, want[1] if want is not None and in_closed else None)
        _add(found, key, amendment, [each for each in booked if each.month not in closed and each.part], want)
    return found


def _add(
    found: Amendments, key: Key, amendment: Amendment, standing: list[Booked], want: tuple[date, Wanted] | None
) -> None:
    """Keep the open corrections that are wanted, name those that are not, and add what lacks."""
    reversals = {each.charge_id: each for each in amendment.reversals}
    part, booked = amendment.part, False
    for each in standing:
        if each.part is Part.REVERSAL and each.corrects_id in reversals:
            del reversals[each.corrects_id]
        elif (
            not booked
            and part is not None
            and want is not None
            and (each.part, each.corrects_id, each.calls) == (part, amendment.corrects_id, amendment.calls)
            and (each.digest, each.belongs) == (want[1].digest, want[1].belongs)
        ):
            booked = True
        else:
            found.outdated.append((each.month, each.charge_id))
    found.reversals += [(each.month, each.charge_id) for each in reversals.values()]
    if part is not None and not booked:
        found.bookings.append((key, part, amendment.corrects_id, amendment.calls))


def _booked(row: Any) -> Booked:
    correction = row.charge_class == ChargeClass.CORRECTION
    return Booked(
        charge_id=row.charge_id,
        month=row.month,
        part=Part(row.correction_part) if correction else None,
        corrects_id=row.corrects_id,
        calls=row.call_count if correction else int(row.charge_class == ChargeClass.USAGE),
        priced=row.price_status == "priced",
        digest=bytes(row.digest),
        belongs=row.attribution_id,
        costs=tuple(getattr(row, name) for name in COSTS),
        tokens=tuple(getattr(row, name) for name in TOKENS),
    )


def wanted_of(charges: pl.DataFrame) -> dict[Key, tuple[date, Wanted]]:
    """Rows of `charges` as what is wanted, by call."""
    columns = ("origin_id", "span_id", "month", "charge_class", "price_status", "digest", "attribution_id")
    columns += (*COSTS, *TOKENS)
    return {
        (origin, span): (
            month,
            Wanted(
                priced=status == "priced",
                calls=int(kind == ChargeClass.USAGE),
                digest=digest,
                belongs=belongs,
                costs=tuple(rest[: len(COSTS)]),
                tokens=tuple(rest[len(COSTS) :]),
            ),
        )
        for origin, span, month, kind, status, digest, belongs, *rest in charges.select(columns).iter_rows()
    }


def corrections(charges: pl.DataFrame, found: Amendments) -> pl.DataFrame:
    """The wanted charges that are booked as corrections, as rows of `charges`: dated now, with the time of the usage.

    Where only the cost was unknown, tokens are left out: the closed month holds them.
    """
    booked = pl.DataFrame(
        [(*key, part.value, corrects, calls) for key, part, corrects, calls in found.bookings],
        schema={
            "origin_id": pl.Binary,
            "span_id": pl.Binary,
            "correction_part": pl.String,
            "corrects_id": pl.Int64,
            "call_count": pl.Int64,
        },
        orient="row",
    )
    only_cost = pl.col("call_count") == 0
    return charges.join(booked, on=("origin_id", "span_id"), how="inner", maintain_order="left").with_columns(
        pl.lit(ChargeClass.CORRECTION.value).alias("charge_class"),
        pl.col("end_at").alias("usage_at"),
        pl.lit(found.booked_at).cast(charges.schema["end_at"]).alias("end_at"),
        pl.lit(found.booked_at.date().replace(day=1)).alias("month"),
        *(pl.when(~only_cost).then(pl.col(name)).alias(name) for name in TOKENS),
    )


_NEGATED = ("list_cost", "billed_cost", "effective_cost", "uncached_cost", "unpriced_tokens", *TOKENS)
_NEGATED_ARRAYS = (
    "line_quantities",
    "line_list_costs",
    "line_billed_costs",
    "line_effective_costs",
    "line_uncached_costs",
)


def stage_reversals(connection: Connection, columns: Sequence[str], found: Amendments) -> None:
    """Put the reversals into `charges_in`: the charge with its sign turned, line by line."""
    if not found.reversals:
        return
    changed = {
        "month": "CAST(:month AS date)",
        "end_at": ":booked_at",
        "usage_at": "coalesce(c.usage_at, c.end_at)",
        "charge_class": "'correction'",
        "correction_part": "'reversal'",
        "corrects_id": "c.charge_id",
        "call_count": "-coalesce(c.call_count, CASE c.charge_class WHEN 'usage' THEN 1 ELSE 0 END)",
        **{name: f"-c.{name}" for name in _NEGATED},
        **{
            name: f"CASE WHEN c.{name} IS NULL THEN NULL ELSE ARRAY("
            f"SELECT -line.amount FROM unnest(c.{name}) WITH ORDINALITY AS line (amount, n) ORDER BY n) END"
            for name in _NEGATED_ARRAYS
        },
    }
    values = ", ".join(changed.get(name, f"c.{name}") for name in columns)
    connection.execute(
        text(
            f"INSERT INTO charges_in ({', '.join(columns)}) SELECT {values} FROM charges c "
            "JOIN unnest(CAST(:months AS date[]), CAST(:ids AS bigint[])) AS gone (month, charge_id) "
            "ON c.month = gone.month AND c.charge_id = gone.charge_id"
        ),
        {
            "month": found.booked_at.date().replace(day=1),
            "booked_at": found.booked_at,
            "months": [each[0] for each in found.reversals],
            "ids": [each[1] for each in found.reversals],
        },
    )
