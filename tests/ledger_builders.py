"""Calls made up for tests of the ledger, and the small road from calls to figures."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from app.tasks.pricing import charge_rows
from models.core.queries import CostQuery, CostRow, Costs
from models.core.telemetry import Call, Derivation, TokenCounts
from models.core.time import ns_of_utc
from models.core.vocabulary import CallStatus, UsageSource
from models.store.calls import replace_calls
from models.store.ledger import Recorded, supersede_charges
from models.store.reader import StoreReader

START = datetime(2026, 10, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)


def make_call(trace: int, span: int, end: datetime, tokens: TokenCounts, **more: Any) -> Call:
    """A call to Claude Sonnet 4.5 unless told otherwise."""
    facts: dict[str, Any] = {
        "status": CallStatus.OK,
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "request_model": None,
        "operation": "chat",
        "instrumentation": "test@1",
        "usage_source": UsageSource.REPORTED,
        "convention": "exclusive",
        **more,
    }
    end_ns = ns_of_utc(end)
    return Call(
        trace_id=trace.to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
        start_ns=end_ns - 1_000_000_000,
        end_ns=end_ns,
        tokens=tokens,
        **facts,
    )


def settle(engine: Engine, project: int, traces: Sequence[int], calls: Sequence[Call]) -> Recorded:
    """Make these the calls of these traces and price them, as a derivation does."""
    with engine.begin() as connection:
        ids = [trace.to_bytes(16, "big") for trace in traces]
        replaced = replace_calls(connection, project, ids, Derivation(calls=calls))
        gone = supersede_charges(connection, project, replaced.withdrawn)
        made = charge_rows(connection, project, replaced.changed)
        return Recorded(made.added, made.superseded + gone.superseded, replaced.unchanged, made.change + gone.change)


def all_pages(reader: StoreReader, query: CostQuery) -> tuple[list[CostRow], Costs]:
    """The rows of all pages, and the last page."""
    from dataclasses import replace

    rows: list[CostRow] = []
    while True:
        page = reader.costs(query)
        rows += page.rows
        if page.next_cursor is None:
            return rows, page
        query = replace(query, cursor=page.next_cursor)
