"""Bytes on disk per stored span: every relation with its indexes, after a vacuum."""

from sqlalchemy import text

from models.store.engine import make_engine

TELEMETRY = ("span_blocks", "trace_links", "trace_days", "resources", "scopes", "stored_spans", "rejections")
QUEUES = ("dirty_traces", "dirty_hours", "unit_parts", "unrated_calls", "unwatched_traces", "deliveries")
"""Their space is used again by the next rows: counted apart."""
FIXED = ("rates", "price_books")
"""The shipped price list takes its space however many spans there are."""
SIZES = """
SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text AS name, sum(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = 'public' GROUP BY 1
"""
SMALLEST = 0.5
"""Bytes per span below which a relation is not named."""


def bytes_per_span(database_url: str) -> dict[str, float]:
    """By relation, indexes and TOAST included; then telemetry, queues, and the ledger: the rest but the price list."""
    engine = make_engine(database_url, role=None, pool_size=1)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
            spans = int(connection.execute(text("SELECT count(*) FROM spans")).scalar_one())
            rows = connection.execute(text(SIZES)).all()
    finally:
        engine.dispose()
    sizes = {str(row.name): float(row.bytes) / spans for row in rows}
    found = {f"bytes per span: {name}": size for name, size in sorted(sizes.items()) if size >= SMALLEST}
    telemetry = sum(size for name, size in sizes.items() if name in TELEMETRY)
    queues = sum(size for name, size in sizes.items() if name in QUEUES)
    return found | {
        "bytes per span, telemetry": telemetry,
        "bytes per span, queues": queues,
        "bytes per span, ledger": sum(sizes.values())
        - telemetry
        - queues
        - sum(sizes.get(name, 0.0) for name in FIXED),
        "spans stored": spans,
    }
