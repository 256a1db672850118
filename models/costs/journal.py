"""The neutral accounting journal of a month: expense by cost centre against one clearing account. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import polars as pl

EXPENSE, CLEARING = "AI expense", "AI clearing"
UNALLOCATED = "UNALLOCATED"
JOURNAL = {
    "journal_id": pl.String(),
    "line": pl.Int64(),
    "posting_date": pl.String(),
    "account": pl.String(),
    "cost_center": pl.String(),
    "debit": pl.String(),
    "credit": pl.String(),
    "currency": pl.String(),
    "description": pl.String(),
}


def journal_lines(amounts: Mapping[str | None, Decimal], month: date, sequence: int) -> pl.DataFrame:
    """One debit per cost centre and one credit of clearing; negative amounts swap sides, zeros have no line.

    Shapes   amounts in cents by cost centre (None: unallocated) → JOURNAL; Σ debit = Σ credit.
    Source   money rules J1 and §9: the id is period and sequence, so the same period exports the same bytes.
    """
    number = f"JEV-{month:%Y-%m}-{sequence}"
    posted = (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    lines = list[tuple[str, str | None, Decimal]]()
    for payer in sorted(amounts, key=lambda name: (name is None, name or "")):
        lines.append((EXPENSE, UNALLOCATED if payer is None else payer, amounts[payer]))
    lines.append((CLEARING, None, -sum(amounts.values(), Decimal(0))))
    rows = [
        (
            number,
            place,
            posted.isoformat(),
            account,
            None if payer is None else _text(payer),
            format(amount, ".2f") if amount > 0 else None,
            format(-amount, ".2f") if amount < 0 else None,
            "USD",
            f"AI usage {month:%Y-%m}",
        )
        for place, (account, payer, amount) in enumerate([line for line in lines if line[2]], start=1)
    ]
    return pl.DataFrame(rows, schema=JOURNAL, orient="row")


def safe_texts(values: Sequence[str | None]) -> list[str | None]:
    """Names as cells that no spreadsheet takes for a formula."""
    return [None if value is None else _text(value) for value in values]


def _text(value: str) -> str:
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
