"""The figures of a page as CSV, with exact amounts: the same questions to the same reader as the page and the API."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from dashboards.reader import current_reader
from dashboards.view import View, view_of
from models.core.errors import JevonsError
from models.core.money import plain
from models.core.queries import CallQuery
from models.core.time import rfc3339
from models.core.vocabulary import BUCKETS, Granularity

COSTS, CALLS = "/download/costs.csv", "/download/calls.csv"
_COUNTS = ("calls", "errors", "tasks")
_COSTS = ("list_cost", "billed_cost", "effective_cost", "cache_savings")
_CALL = (
    "start", "end", "trace_id", "span_id", "status", "provider", "model", "operation", "agent", "agent_path",
    "task", "session", "team", "service", "usage_source", "convention",
)  # fmt: skip

router = APIRouter(include_in_schema=False)


def costs_href(view: View, *group_by: str, granularity: Granularity = Granularity.NONE) -> str:
    """Where the costs of a view can be had as CSV; period, filters and project stand in the link."""
    return view.href(
        COSTS, period=view.period.text, group_by=",".join(group_by) or None, granularity=granularity.value, theme=None
    )


def calls_href(view: View, trace_id: str | None = None) -> str:
    """Where the calls of a view, or of one trace, can be had as CSV."""
    return view.href(CALLS, period=view.period.text, trace=trace_id, theme=None)


@router.get(COSTS)
def costs(request: Request, group_by: str = "", granularity: Granularity = Granularity.NONE) -> Response:
    """Sums per group, every page of the answer, as `/api/v1/costs` gives them."""
    dimensions = tuple(name for name in group_by.split(",") if name)
    try:
        view = _view(request)
        query = view.costs(*dimensions, by=granularity)
        current_reader().costs(replace(query, limit=1))
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)
    times = () if granularity is Granularity.NONE else ("time",)
    head = (
        *times,
        *dimensions,
        *_COUNTS,
        *(bucket.value for bucket in BUCKETS),
        *_COSTS,
        "unpriced_calls",
        "unpriced_tokens",
    )

    def rows() -> Iterator[list[object]]:
        page = query
        while True:
            answer = current_reader().costs(page)
            for row in answer.rows:
                yield [
                    *([rfc3339(row.time) if row.time else None] if times else []),
                    *(row.keys.get(name) for name in dimensions),
                    *(getattr(row, name) for name in _COUNTS),
                    *(row.tokens.get(bucket.value) for bucket in BUCKETS),
                    *(plain(getattr(row, name)) for name in _COSTS),
                    row.unpriced_calls,
                    row.unpriced_tokens,
                ]
            if answer.next_cursor is None:
                return
            page = replace(page, cursor=answer.next_cursor)

    return _streamed(head, rows(), f"costs-{view.project.name}-{view.period.text}.csv")


@router.get(CALLS)
def calls(request: Request, trace: str = "") -> Response:
    """Calls with their buckets and cost, every page, as `/api/v1/calls` gives them."""
    try:
        view = _view(request)
        query = (
            CallQuery(projects=(view.project.id,), trace_id=bytes.fromhex(trace), limit=1000)
            if trace
            else view.calls(limit=1000)
        )
    except ValueError:
        return PlainTextResponse(f"trace={trace} is no trace id: it has 32 hexadecimal digits.", status_code=400)
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        page = query
        while True:
            answer = current_reader().calls(page)
            for call in answer.calls:
                charge = call.get("charge") or {}
                yield [
                    *(call.get(name) for name in _CALL),
                    *(call["tokens"].get(bucket.value) for bucket in BUCKETS),
                    *(charge.get(name) for name in _COSTS[:3]),
                ]
            if answer.next_cursor is None:
                return
            page = replace(page, cursor=answer.next_cursor)

    head = (*_CALL, *(bucket.value for bucket in BUCKETS), *_COSTS[:3])
    return _streamed(head, rows(), f"calls-{view.project.name}-{trace or view.period.text}.csv")


def _view(request: Request) -> View:
    return view_of(request.url.path, f"?{request.url.query}", current_reader().projects(), datetime.now(UTC))


def _streamed(head: tuple[str, ...], rows: Iterator[list[object]], name: str) -> StreamingResponse:
    def lines() -> Iterator[str]:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(head)
        for row in rows:
            writer.writerow([_safe(cell) for cell in row])
            if buffer.tell() > 65_536:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()

    # A project may be named in any script; the header may not.
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    headers = {"Content-Disposition": f'attachment; filename="{ascii_name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _safe(cell: object) -> object:
    # A name that a spreadsheet would run as a formula is written as text.
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "@", "\t", "\r") else cell
