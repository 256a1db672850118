"""Cache figures by agent and model as CSV, with exact amounts."""

from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from dashboards.control_downloads import view_behind
from dashboards.downloads import _streamed as streamed
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.errors import JevonsError
from models.core.money import plain

CACHE = "/download/cache.csv"
_COUNTS = ("calls", "seen_calls", "reporting_calls", "read_of_input", "read_of_cached", "read_of_readable")
_MONEY = ("cost", "without_cache", "savings", "write_premium", "never_read_cost", "lost_to_expiry")
_TOKENS = ("written_tokens", "seen_written_tokens", "never_read_tokens", "rewritten_tokens")

router = APIRouter(include_in_schema=False)


def cache_href(view: View) -> str:
    """Where the cache figures of a view can be had as CSV."""
    return view.href(CACHE, period=view.period.text, theme=None)


@router.get(CACHE)
def cache(request: Request) -> Response:
    """Every agent and model of the period; an empty cell is not reported or not known.

    Rates, never read and rewritten tokens are of `seen_calls`, the newest ones; all else is of the whole period.
    """
    try:
        view = view_behind(request)
        report = current_reader().cache(view.costs())
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for row in report.rows:
            yield [
                row.agent,
                row.model,
                *(getattr(row, name) for name in (*_COUNTS, *_TOKENS)),
                *(plain(getattr(row, name)) for name in _MONEY),
            ]

    head = ("agent", "model", *_COUNTS, *_TOKENS, *_MONEY)
    return streamed(head, rows(), f"cache-{view.project.name}-{view.period.text}.csv")
