"""Files for finance: FOCUS, the statement and the journal of a month, as bytes a day at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl

from models.core.money import plain
from models.core.payers import Statement
from models.costs.focus import FocusRows, focus_rows
from models.costs.focus_table import FOCUS, focus_csv, focus_parquet
from models.costs.journal import journal_lines, safe_texts
from models.store.periods import next_month

if TYPE_CHECKING:
    from dashboards.reader import Reader


@dataclass(slots=True)
class Exported:
    """What went into a file, counted while it was written."""

    rows: int = 0
    billed_cost: Decimal = Decimal(0)
    effective_cost: Decimal = Decimal(0)
    left_out: int = 0
    """Daily sums without a price: FOCUS has no row without a cost."""
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, made: FocusRows) -> None:
        """Count the rows of a day."""
        self.rows += made.rows.height
        self.left_out += made.left_out
        self.billed_cost += sum(made.rows["BilledCost"].to_list(), Decimal(0))
        self.effective_cost += sum(made.rows["EffectiveCost"].to_list(), Decimal(0))

    def as_json(self) -> dict[str, Any]:
        """The counts as shown outside."""
        return {
            "rows": self.rows,
            "billed_cost": plain(self.billed_cost),
            "effective_cost": plain(self.effective_cost),
            "left_out_unpriced": self.left_out,
            "sha256": self.digest.hexdigest(),
        }


def focus_days(reader: "Reader", projects: Sequence[int], month: date, counted: Exported) -> Iterator[pl.DataFrame]:
    """FOCUS rows of a month, day by day of the usage."""
    for sums in reader.daily_sums(projects, month):
        made = focus_rows(sums, month, next_month(month))
        counted.add(made)
        yield made.rows


def focus_csv_bytes(
    reader: "Reader", projects: Sequence[int], month: date, counted: Exported | None = None
) -> Iterator[bytes]:
    """A FOCUS CSV in pieces; the same ledger gives the same bytes."""
    counts = counted if counted is not None else Exported()
    header = focus_csv(pl.DataFrame(schema=FOCUS))
    days = focus_days(reader, projects, month, counts)
    # The first day is read before anything is handed out: what fails, fails before an answer has begun.
    first = next(days, None)
    counts.digest.update(header)
    yield header
    for rows in chain([] if first is None else [first], days):
        piece = focus_csv(rows)[len(header) :]
        counts.digest.update(piece)
        if piece:
            yield piece


def focus_parquet_file(
    reader: "Reader", projects: Sequence[int], month: date, counted: Exported | None = None
) -> bytes:
    """A FOCUS Parquet file."""
    counts = counted if counted is not None else Exported()
    body = focus_parquet(pl.concat([pl.DataFrame(schema=FOCUS), *focus_days(reader, projects, month, counts)]))
    counts.digest.update(body)
    return body


def statement_csv(statement: Statement) -> bytes:
    """A statement as CSV: exact costs and the amount in cents, the unallocated line and the total last."""
    rows = [row.as_json(statement.by) for row in statement.rows]
    names = [statement.by, "owner", "direct", "corrections_total", "idle", "other", "total", "amount"]
    names += ["calls", "unpriced_calls"]
    table = pl.DataFrame([{name: row[name] for name in names} for row in rows], schema=dict.fromkeys(names, pl.String))
    total = statement.as_json()
    last = dict.fromkeys(names) | {
        statement.by: "TOTAL",
        "total": total["total"],
        "amount": total["amount"],
        "unpriced_calls": str(statement.unpriced_calls),
    }
    table = pl.concat([table, pl.DataFrame([last], schema=table.schema)])
    payer = pl.Series(statement.by, safe_texts(["UNALLOCATED" if n is None else n for n in table[statement.by]]))
    return table.with_columns(payer).write_csv(line_terminator="\n").encode()


def journal_csv(statement: Statement, sequence: int) -> bytes:
    """The neutral journal of a statement by cost centre."""
    amounts = {row.payer: row.amount for row in statement.rows}
    return journal_lines(amounts, statement.month, sequence).write_csv(line_terminator="\n").encode()
