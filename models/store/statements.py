"""Statements: what each cost centre (or team) pays for a month, to the cent, and the tie-out to the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.money import plain
from models.costs.corrections import document_amounts
from models.store.period_checks import month_bounds

PAYERS = ("cost_center", "team")
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
    """Purchases, credits, taxes."""
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


@dataclass(slots=True, frozen=True)
class Statement:
    """A month by payer, the dearest first, what nobody owns last."""

    month: date
    by: str
    rows: Sequence[StatementRow]
    ledger_total: Decimal
    """Σ of the live charges of the month, asked apart from the rows."""
    unpriced_calls: int

    @property
    def total(self) -> Decimal:
        """Σ of the rows, exactly."""
        return sum((row.total for row in self.rows), ZERO)

    @property
    def amount(self) -> Decimal:
        """Σ of the cents."""
        return sum((row.amount for row in self.rows), ZERO)

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
            "difference": plain(self.ledger_total - self.total),
            "unpriced_calls": self.unpriced_calls,
        }


def statement(connection: Connection, projects: Sequence[int], month: date, by: str = "cost_center") -> Statement:
    """The statement of a month over some projects. The transaction should be REPEATABLE READ: it is several questions.

    Units    USD of effective cost; amounts in cents by largest remainder over the rounded total.
    Raises   BadInput for another payer than a cost centre or a team.
    """
    if by not in PAYERS:
        reason = f"{by!r} is neither {' nor '.join(PAYERS)}"
        raise BadInput(f"a statement cannot be made by {by!r}.", [{"field": "by", "reason": reason}])
    start, end = month_bounds(month)
    scope = {"projects": list(projects), "month": month, "start": start, "end": end}
    rows: dict[str | None, StatementRow] = {}
    whole = connection.execute(
        text(
            f"SELECT a.{by} AS payer, sum(r.effective_cost) AS cost, sum(r.calls) AS calls, "
            "sum(r.unpriced_calls) AS unpriced FROM rollup_calls r "
            "JOIN attributions a USING (project_id, attribution_id) WHERE r.project_id = ANY(:projects) "
            "AND r.grain = 'day' AND r.period_start >= :start AND r.period_start < :end "
            "GROUP BY 1 HAVING sum(r.charges) <> 0"
        ),
        scope,
    )
    for row in whole:
        rows[row.payer] = StatementRow(
            row.payer, direct=row.cost, calls=int(row.calls), unpriced_calls=int(row.unpriced)
        )
    # Few beside usage, and found by ix_charges_other: what they are is taken out of the sum over everything.
    apart = connection.execute(
        text(
            f"SELECT a.{by} AS payer, c.charge_class, to_char(c.usage_at AT TIME ZONE 'UTC', 'YYYY-MM') AS usage_month, "
            "coalesce(sum(c.effective_cost), 0) AS cost FROM charges c "
            "JOIN attributions a USING (project_id, attribution_id) WHERE c.project_id = ANY(:projects) "
            "AND c.month = :month AND c.superseded_at IS NULL AND c.charge_class <> 'usage' GROUP BY 1, 2, 3"
        ),
        scope,
    )
    for found in apart:
        row = rows.setdefault(found.payer, StatementRow(found.payer))
        row.direct -= found.cost
        if found.charge_class == "correction":
            row.corrections[found.usage_month] = row.corrections.get(found.usage_month, ZERO) + found.cost
        elif found.charge_class == "idle":
            row.idle += found.cost
        else:
            row.other += found.cost
    _name_owners(connection, rows, scope, by)
    for payer, amount in document_amounts({payer: row.total for payer, row in rows.items()}).items():
        rows[payer].amount = amount
    ledger: Any = connection.execute(
        text(
            "SELECT coalesce(sum(effective_cost), 0) FROM charges "
            "WHERE project_id = ANY(:projects) AND month = :month AND superseded_at IS NULL"
        ),
        scope,
    ).scalar_one()
    ordered = sorted(rows.values(), key=lambda row: (row.payer is None, -row.total, row.payer or ""))
    return Statement(month, by, ordered, ledger, sum(row.unpriced_calls for row in ordered))


def _name_owners(connection: Connection, rows: dict[str | None, StatementRow], scope: dict[str, Any], by: str) -> None:
    if by != "cost_center":
        return
    owners = connection.execute(
        text(
            "SELECT DISTINCT ON (cost_center) cost_center, owner FROM cost_center_owners "
            "WHERE project_id = ANY(:projects) AND valid_from < :end ORDER BY cost_center, valid_from DESC"
        ),
        scope,
    )
    for found in owners:
        if found.cost_center in rows:
            rows[found.cost_center].owner = found.owner
