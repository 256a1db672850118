"""The change of a bill by cell and effect as CSV, with exact amounts."""

from collections.abc import Iterator
from decimal import Decimal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from dashboards import curves
from dashboards.control_downloads import view_behind
from dashboards.downloads import _streamed as streamed
from dashboards.view import View
from models.core.errors import BadInput, JevonsError
from models.core.money import plain
from models.costs.decomposition import FACTORS

DECOMPOSITION, INDEX = "/download/decomposition.csv", "/download/index.csv"
_POINT = ("chain", "price_index", "volume_index", "bill_index", "bill", "price_per_task", "matched_share", "note")

router = APIRouter(include_in_schema=False)


def decomposition_href(view: View, cells: str) -> str:
    """Where the cells and effects of a view can be had as CSV."""
    return view.href(DECOMPOSITION, period=view.period.text, cells=cells, theme=None)


def index_href(view: View) -> str:
    """Where price index, volume index, bill and price per task by month can be had as CSV."""
    return view.href(INDEX, period=view.period.text, theme=None)


@router.get(INDEX)
def index(request: Request) -> Response:
    """The months of the picture; indices of different chains cannot be compared."""
    try:
        view = view_behind(request)
        points = curves.index(view)
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for point in points:
            yield [point.label, *(_cell(getattr(point, name)) for name in _POINT)]

    return streamed(("month", *_POINT), rows(), f"index-{view.project.name}-{view.period.text}.csv")


def _cell(value: object) -> object:
    return plain(value) if isinstance(value, Decimal) else value


@router.get(DECOMPOSITION)
def decomposition(request: Request, cells: str = "agent-model") -> Response:
    """Every cell with its six effects; each row sums to its change and each column to the bar of the page."""
    try:
        view = view_behind(request)
        if cells not in curves.CELLS:
            raise BadInput(f"cells={cells} is none of {', '.join(curves.CELLS)}.")
        found = curves.bridge(view, cells)
        if found is None:
            raise BadInput("there is no comparison. Leave out compare=none.")
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for cell in found.found.cells:
            effects = [plain(cell.effects[name]) for name in FACTORS]
            yield [*cell.key, plain(cell.base), plain(cell.current), plain(cell.change), *effects]

    head = (*found.dimensions, "base", "current", "change", *FACTORS)
    return streamed(head, rows(), f"decomposition-{view.project.name}-{view.period.text}.csv")
