"""ANALYZE reads only the columns that plans ask about: sums, arrays and documents of wide tables are left out."""

from importlib import import_module

from alembic import op

revision = "0080_statistics"
down_revision = "0070_spend_minutes"
branch_labels = None
depends_on = None

_ledger_month = import_module("migrations.versions.0006_who_pays")._ledger_month
_guarded = import_module("migrations.versions.0007_closed_by_statement")._NEW_PART
_IF_CHARGES = f"""
            IF parent = 'charges' THEN{_guarded}
            END IF;"""

PLANNED = {
    "calls": (
        "project_id, trace_id, span_id, month, end_at, status, attribution_id, unit_id, provider, model, operation, "
        "instrumentation, usage_source, convention"
    ),
    "charges": (
        "project_id, month, charge_id, origin_id, span_id, charge_class, end_at, is_error, attribution_id, unit_id, "
        "deployment_id, price_status, unpriced_reason, effective_cost, book_id, superseded_at, correction_part, "
        "usage_at, corrects_id"
    ),
    "span_blocks": "project_id, day, trace_id, signal, resource_id, scope_id, last_end_ns",
    "rollup_calls": "id, project_id, grain, period_start, attribution_id, charges",
    "rollup_lines": "id, project_id, grain, period_start, attribution_id, bucket, charges",
    "rollup_units": "id, project_id, period_start, attribution_id, unit_id, task_id, session_id, charges, calls",
    "unit_parts": "id, project_id, period_start, attribution_id, unit_id, task_id, session_id, charges, calls",
    "unit_totals": (
        "project_id, kind, key_id, first_hour, last_hour, session_id, user_id, tags_id, is_mixed, sort_cost, charges, "
        "calls"
    ),
    "rollup_keys": "project_id, kind, grain, period_start, key_id, charges",
}
"""Columns that conditions, joins and groups of statements name. Nobody looks for the others by their values."""

# A column is sampled, sorted and detoasted whether or not a plan ever asks about it; of a charge that is two thirds.
_LEAVE_OUT = """
DO $$
BEGIN
    EXECUTE (
        SELECT 'ALTER TABLE {table} ' || string_agg(format('ALTER COLUMN %I SET STATISTICS 0', attname), ', ')
        FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
        AND attname <> ALL (string_to_array('{planned}', ', '))
    );
END $$
"""
_TAKE_BACK = """
DO $$
BEGIN
    EXECUTE (
        SELECT 'ALTER TABLE {table} ' || string_agg(format('ALTER COLUMN %I SET STATISTICS DEFAULT', attname), ', ')
        FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attstattarget = 0
    );
END $$
"""
# A partition made later does not take them from its parent by itself.
_COPY = """
CREATE FUNCTION copy_statistics_targets(parent regclass, part regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    EXECUTE (
        SELECT format('ALTER TABLE %s ', part)
               || string_agg(format('ALTER COLUMN %I SET STATISTICS %s', attname, attstattarget), ', ')
        FROM pg_attribute WHERE attrelid = parent AND attnum > 0 AND attstattarget IS NOT NULL
    );
END $$
"""


def _span_partitions(more: str) -> str:
    """See 0050; each new partition takes what its parent says of statistics."""
    return f"""
CREATE OR REPLACE FUNCTION ensure_span_partitions(wanted date[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one date;
    made integer := 0;
    partition text;
BEGIN
    IF cardinality(wanted) > 1000 THEN
        RAISE EXCEPTION 'ensure_span_partitions: % days asked for at once, at most 1000 allowed',
            cardinality(wanted) USING ERRCODE = 'program_limit_exceeded';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('jevons.span_partitions'));
    FOR one IN SELECT DISTINCT d FROM unnest(wanted) d ORDER BY d LOOP
        partition := 'spans_' || to_char(one, 'YYYYMMDD');
        IF to_regclass('public.' || partition) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF span_blocks FOR VALUES FROM (%L) TO (%L) '
                           'WITH (toast_tuple_target = 4080)', partition, one, one + 1);{more}
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$
"""


def upgrade() -> None:
    for table, planned in PLANNED.items():
        op.execute(_LEAVE_OUT.format(table=table, planned=planned))
    op.execute(_COPY)
    op.execute(
        _ledger_month(f"""{_IF_CHARGES}
            PERFORM public.copy_statistics_targets(parent::regclass, part::regclass);""")
    )
    op.execute(
        _span_partitions("""
            PERFORM public.copy_statistics_targets('span_blocks', partition::regclass);""")
    )


def downgrade() -> None:
    op.execute(_ledger_month(_IF_CHARGES))
    op.execute(_span_partitions(""))
    op.execute("DROP FUNCTION copy_statistics_targets(regclass, regclass)")
    for table in PLANNED:
        op.execute(_TAKE_BACK.format(table=table))
