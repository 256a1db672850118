"""Statements: what each cost centre (or team) pays for a month, exactly and to the cent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from models.core.money import plain

ZERO = Decimal(0)


@dataclass(slots=True)
class StatementRow:
    """What one payer pays. `payer` None: nobody owns it; it is a line like the others."""

    payer: str | None
    owner: str | None = None
    direct: Decimal = ZERO
    """Of calls of the month itself."""
    corrections: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    """Of earlier months, by the month they amend."""
    idle: Decimal = ZERO
    """Of own capacity that nobody used."""
    other: Decimal = ZERO
    """Purchases, credits, taxes, usage told by a provider's report alone."""
    calls: int = 0
    unpriced_calls: int = 0
    amount: Decimal = ZERO
    """The total in cents: the sum of all amounts is the rounded sum of all totals."""

    @property
    def total(self) -> Decimal:
        """Everything, exactly."""
        return self.direct + sum(self.corrections.values(), ZERO) + self.idle + self.other

    def as_json(self, by: str) -> dict[str, Any]:
        """The row as shown outside."""
        return {
            by: self.payer,
            "owner": self.owner,
            "direct": plain(self.direct),
            "corrections": {month: plain(cost) for month, cost in sorted(self.corrections.items())},
            "corrections_total": plain(sum(self.corrections.values(), ZERO)),
            "idle": plain(self.idle),
            "other": plain(self.other),
            "total": plain(self.total),
            "amount": format(self.amount, "f"),
            "calls": self.calls,
            "unpriced_calls": self.unpriced_calls,
        }


TIED_ON_PAGES = 1_000_000
"""Charges that a page adds up, in about a second; commands and the API add up whatever there is."""


@dataclass(slots=True, frozen=True)
class Statement:
    """A month by payer, the dearest first, what nobody owns last."""

    month: date
    by: str
    rows: Sequence[StatementRow]
    charges: int
    """Live charges of the month."""
    ledger_total: Decimal | None
    """Σ of the live charges of the month, asked apart from the rows; None: there are more than were to be added up."""
    unpriced_calls: int

    @property
    def total(self) -> Decimal:
        """Σ of the rows, exactly."""
        return sum((row.total for row in self.rows), ZERO)

    @property
    def amount(self) -> Decimal:
        """Σ of the cents."""
        return sum((row.amount for row in self.rows), ZERO)

    @property
    def difference(self) -> Decimal | None:
        """What the charges come to beyond the rows: 0, or something is wrong. None: they were not added up."""
        return None if self.ledger_total is None else self.ledger_total - self.total

    def as_json(self) -> dict[str, Any]:
        """The statement as shown outside."""
        return {
            "period": f"{self.month:%Y-%m}",
            "by": self.by,
            "currency": "USD",
            "basis": "effective",
            "rows": [row.as_json(self.by) for row in self.rows],
            "total": plain(self.total),
            "amount": format(self.amount, "f"),
            "ledger_total": plain(self.ledger_total),
            "difference": plain(self.difference),
            "unpriced_calls": self.unpriced_calls,
        }
