"""Closed months are checked once per statement, not row by row: the same refusals, an insert a third as dear."""

from importlib import import_module

from alembic import op

revision = "0007_closed_by_statement"
down_revision = "0006_who_pays"
branch_labels = None
depends_on = None

_before = import_module("migrations.versions.0006_who_pays")

REFUSE = """
CREATE FUNCTION refuse_closed_months() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    refused record;
BEGIN
    -- The months of a statement are few, whatever its rows: one probe of the primary key for each.
    IF TG_OP <> 'DELETE' THEN
        SELECT c.project_id, c.month INTO refused FROM (SELECT DISTINCT project_id, month FROM fresh) c
            JOIN periods p ON p.project_id = c.project_id AND p.month = c.month AND p.state = 'closed' LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'month % of project % is closed: % of a charge refused', to_char(refused.month, 'YYYY-MM'),
                refused.project_id, TG_OP USING ERRCODE = 'restrict_violation',
                HINT = 'Book a correction in an open month, or reopen the month with a reason.';
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT c.project_id, c.month INTO refused FROM (SELECT DISTINCT project_id, month FROM gone) c
            JOIN periods p ON p.project_id = c.project_id AND p.month = c.month AND p.state = 'closed' LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'month % of project % is closed: % of a charge refused', to_char(refused.month, 'YYYY-MM'),
                refused.project_id, TG_OP USING ERRCODE = 'restrict_violation',
                HINT = 'Book a correction in an open month, or reopen the month with a reason.';
        END IF;
    END IF;
    RETURN NULL;
END $$
"""

_TABLES_OF = {
    "insert": "NEW TABLE AS fresh",
    "update": "OLD TABLE AS gone NEW TABLE AS fresh",
    "delete": "OLD TABLE AS gone",
}


def _triggers(table: str, schema: str = "") -> list[str]:
    """Statements that put the check on one table. A statement fires the triggers of the table it names alone, so the
    parent and every partition have their own."""
    return [
        f"CREATE TRIGGER refuse_closed_{event} AFTER {event.upper()} ON {table} REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}refuse_closed_months()"
        for event, tables in _TABLES_OF.items()
    ]


_NEW_PART = "".join(
    f"""
                EXECUTE format('{statement}', part);"""
    for statement in (
        "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()",
        *_triggers("public.%I", "public."),
    )
)


def _on_every_part(statements: list[str]) -> None:
    for statement in statements:
        op.execute(_before._EVERY_PART.format(statement=statement))


def upgrade() -> None:
    """Replace the row trigger by triggers per statement, on the parent, its partitions and those to come."""
    op.execute("DROP TRIGGER refuse_closed_month ON charges")
    op.execute("DROP FUNCTION refuse_closed_month()")
    op.execute(REFUSE)
    for statement in _triggers("charges"):
        op.execute(statement)
    _on_every_part(_triggers("%s"))
    op.execute(
        _before._ledger_month(f"""
            IF parent = 'charges' THEN{_NEW_PART}
            END IF;""")
    )


def downgrade() -> None:
    """Back to the row trigger; nothing is lost."""
    op.execute(_before._ledger_month(_before._PART_TRIGGER))
    dropped = [f"DROP TRIGGER refuse_closed_{event} ON %s" for event in _TABLES_OF]
    _on_every_part(dropped)
    for statement in dropped:
        op.execute(statement % "charges")
    op.execute("DROP FUNCTION refuse_closed_months()")
    op.execute(_before.REFUSE_CLOSED)
    op.execute(
        "CREATE TRIGGER refuse_closed_month BEFORE INSERT OR UPDATE OR DELETE ON charges "
        "FOR EACH ROW EXECUTE FUNCTION refuse_closed_month()"
    )
