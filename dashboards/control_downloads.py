"""Incidents, decompositions and cache figures as CSV, with exact amounts: what the pages about control show."""

from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from dashboards.desk import current_desk
from dashboards.downloads import _streamed as streamed
from dashboards.reader import current_reader
from dashboards.view import View, view_of
from models.core.errors import JevonsError
from models.core.money import plain
from models.core.time import rfc3339

INCIDENTS, REPEATS = "/download/incidents.csv", "/download/repeats.csv"
_INCIDENT = (
    "id", "kind", "severity", "state", "title", "agent", "team", "session", "trace_id", "repeats", "cost_so_far",
    "cost_per_minute", "waste", "opened_at", "last_seen_at", "acknowledged_by", "resolved_by", "dedup_key",
)  # fmt: skip
_REPEAT = ("number", "at", "tool", "arguments", "result", "failed", "context", "cost")

router = APIRouter(include_in_schema=False)


def incidents_href(view: View) -> str:
    """Where the incidents of the project can be had as CSV."""
    return view.href(INCIDENTS, theme=None)


def repeats_href(view: View, incident: int) -> str:
    """Where the steps of one incident can be had as CSV."""
    return view.href(REPEATS, number=str(incident), theme=None)


def view_behind(request: Request) -> View:
    """The view that a download belongs to."""
    return view_of(request.url.path, f"?{request.url.query}", current_reader().projects(), datetime.now(UTC))


@router.get(INCIDENTS)
def incidents(request: Request) -> Response:
    """Every incident of the project, the newest first, as `/api/v1/incidents` gives them."""
    desk = current_desk()
    try:
        view = view_behind(request)
        found = desk.incidents(view.project.id, limit=10_000) if desk is not None else []
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for one in found:
            money = {"cost_so_far", "cost_per_minute", "waste"}
            yield [_cell(name, getattr(one, name), name in money) for name in _INCIDENT]

    return streamed(_INCIDENT, rows(), f"incidents-{view.project.name}.csv")


@router.get(REPEATS)
def repeats(request: Request, number: int) -> Response:
    """Every step that an incident rests on; of arguments and results only the beginning of their hash."""
    desk = current_desk()
    try:
        view = view_behind(request)
        found = desk.incident(view.project.id, number).repeats if desk is not None else ()
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for one in found:
            yield [_cell(name, getattr(one, name), name == "cost") for name in _REPEAT]

    return streamed(_REPEAT, rows(), f"incident-{number}.csv")


def _cell(name: str, value: object, is_money: bool) -> object:
    if value is None:
        return None
    if is_money:
        return plain(value)  # type: ignore[arg-type]
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
