"""Statements: the charges of a month added up by who pays, and tied out to the ledger."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.payers import ZERO, Statement, StatementRow
from models.costs.corrections import document_amounts
from models.store.period_checks import ledger_total, month_bounds

PAYERS = ("cost_center", "team")


def statement(
    connection: Connection,
    projects: Sequence[int],
    month: date,
    by: str = "cost_center",
    most_charges: int | None = None,
) -> Statement:
    """The statement of a month over some projects. The transaction should be REPEATABLE READ: it is several questions.

    The charges are added up to tie it out, unless they are more than `most_charges`.

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
            "sum(r.unpriced_calls) AS unpriced, sum(r.charges) AS charges FROM rollup_calls r "
            "JOIN attributions a USING (project_id, attribution_id) WHERE r.project_id = ANY(:projects) "
            "AND r.grain = 'day' AND r.period_start >= :start AND r.period_start < :end "
            "GROUP BY 1 HAVING sum(r.charges) <> 0"
        ),
        scope,
    )
    charges = 0
    for row in whole:
        charges += int(row.charges)
        rows[row.payer] = StatementRow(
            row.payer, direct=row.cost, calls=int(row.calls), unpriced_calls=int(row.unpriced)
        )
    # Few beside usage, and found by ix_charges_other: what they are is taken out of the sum over everything.
    apart = connection.execute(
        text(
            f"SELECT a.{by} AS payer, c.charge_class, coalesce(sum(c.effective_cost), 0) AS cost, "
            "to_char(c.usage_at AT TIME ZONE 'UTC', 'YYYY-MM') AS usage_month "
            "FROM charges c JOIN attributions a USING (project_id, attribution_id) "
            "WHERE c.project_id = ANY(:projects) AND c.month = :month AND c.superseded_at IS NULL "
            "AND c.charge_class <> 'usage' GROUP BY 1, 2, 4"
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
    # Every name with a mark before it, so that a payer called "" is not taken for nobody.
    keyed = {"" if payer is None else f"={payer}": row for payer, row in rows.items()}
    for key, amount in document_amounts({key: row.total for key, row in keyed.items()}).items():
        keyed[key].amount = amount
    ledger = ledger_total(connection, projects, month, charges, most_charges)
    ordered = sorted(rows.values(), key=lambda row: (row.payer is None, -row.total, row.payer or ""))
    return Statement(month, by, ordered, charges, ledger, sum(row.unpriced_calls for row in ordered))


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
