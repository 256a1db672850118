"""Bytes on disk per stored span, by what they are for."""

from sqlalchemy import Connection, text


def bytes_per_span(connection: Connection) -> dict[str, float]:
    """Size of each part, indexes included, over the number of stored spans; {} where there are none.

    Dirty marks are left out: their space is used again by the next ones.
    """
    spans = connection.execute(text("select sum(length(span_ids)) / 8 from span_blocks")).scalar_one()
    if not spans:
        return {}
    parts = {
        "spans": "select sum(pg_total_relation_size(relid)) from pg_partition_tree('span_blocks')",
        "links": "select pg_total_relation_size('trace_links')",
        "trace days": "select pg_total_relation_size('trace_days')",
    }
    return {name: float(connection.execute(text(query)).scalar_one()) / spans for name, query in parts.items()}
