"""Calls as a frame: one row per call, ready for COPY into `calls` and for rating."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
import polars as pl

from models.core.frames import CALLS
from models.core.telemetry import Call
from models.core.vocabulary import BUCKETS, Detail
from models.costs.attribution_rules import TagRule
from models.store.interning import Interner
from models.store.tagging import tagged

ROW: dict[str, Any] = {
    "project_id": pl.Int64,
    "trace_id": pl.Binary,
    "span_id": pl.Binary,
    "end_at": pl.Datetime("us", "UTC"),
    "start_ns": pl.Int64,
    "end_ns": pl.Int64,
    "status": pl.String,
    "attribution_id": pl.Int64,
    "unit_id": pl.Int64,
    "provider": pl.String,
    "model": pl.String,
    "request_model": pl.String,
    "operation": pl.String,
    "instrumentation": pl.String,
    "usage_source": pl.String,
    "convention": pl.String,
    "convention_reason": pl.String,
    "details": pl.String,
    "inferred": pl.String,
    "response_id": pl.String,
    "service_tier": pl.String,
    "region": pl.String,
    "server_address": pl.String,
    "reported_cost": pl.String,
    "provenance": pl.String,
    "described_by": pl.String,
    "agents": pl.String,
    "digest": pl.Binary,
    **{bucket.value: pl.Int64 for bucket in BUCKETS},
}
"""Columns of `calls`; JSON and arrays as the text that PostgreSQL reads."""


def call_frame(
    project_id: int, calls: Sequence[Call], interner: Interner, rules: Sequence[TagRule] = ()
) -> pl.DataFrame:
    """Calls as rows of `calls`, in their order, attributed by what they state and by the rules.

    `digest` hashes everything that a call states; what rules give it is not in it.
    """
    rows = [_row(project_id, call, interner) for call in calls]
    # By column: a frame of rows asks of every single value what it is.
    frame = pl.DataFrame(dict(zip(ROW, zip(*rows, strict=True), strict=bool(rows))), schema=ROW)
    if rules and not frame.is_empty():
        frame = frame.with_columns(tagged(frame, rules, interner))
    return frame.with_columns(pl.col("end_at").dt.truncate("1mo").dt.date().alias("month"))


def _row(project_id: int, call: Call, interner: Interner) -> tuple[Any, ...]:
    facts = (
        call.start_ns,
        call.end_ns,
        call.status.value,
        interner.attribution(call),
        interner.unit(call),
        call.provider,
        call.model,
        call.request_model,
        call.operation,
        call.instrumentation,
        call.usage_source.value,
        call.convention,
        call.convention_reason,
        orjson.dumps(dict(call.details), option=orjson.OPT_SORT_KEYS).decode() if call.details else None,
        _words(call.inferred),
        call.response_id,
        call.service_tier,
        call.region,
        call.server_address,
        None if call.reported_cost is None else str(call.reported_cost),
        orjson.dumps(call.provenance, option=orjson.OPT_SORT_KEYS, default=_plain).decode()
        if call.provenance
        else None,
        "{" + ",".join(f'"\\\\x{span.hex()}"' for span in call.described_by) + "}" if call.described_by else None,
    )
    counts = call.tokens.counts
    agents = orjson.dumps(call.agents).decode() if call.agents else None
    # Left out where there are none: calls kept before agents were read stay equal to what they are read as now.
    told = (facts, counts) if agents is None else (facts, counts, agents)
    digest = blake2b(orjson.dumps(told), digest_size=16).digest()
    return (project_id, call.trace_id, call.span_id, call.end_ns // 1_000, *facts, agents, digest, *counts)


def _plain(value: Any) -> Any:
    """What JSON has no form for: other mappings as objects, the rest as text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def _words(words: Sequence[str]) -> str | None:
    return "{" + ",".join(f'"{word}"' for word in words) + "}" if words else None


def to_rate(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `calls` as frames.CALLS without its price keys: origin is the trace, details are columns."""
    details = [detail.value for detail in Detail]
    if rows.is_empty() or rows["details"].null_count() == rows.height:
        spread = [pl.lit(None, dtype=pl.Int64).alias(name) for name in details]
    else:
        struct = pl.Struct({name: pl.Int64() for name in details})
        spread = [pl.col("details").str.json_decode(struct).struct.field(name) for name in details]
    return rows.with_columns(
        pl.col("trace_id").alias("origin_id"),
        pl.col("end_at").alias("at"),
        *(pl.lit(None, dtype=pl.String).alias(name) for name in ("price_provider", "price_model", "price_reason")),
        *spread,
    ).select(list(CALLS))
