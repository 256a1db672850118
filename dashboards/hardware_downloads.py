"""Hours of own hardware as CSV, with exact amounts: what the hardware page adds up."""

from collections.abc import Iterator
from dataclasses import fields

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from dashboards.control_downloads import view_behind
from dashboards.downloads import _streamed as streamed
from dashboards.fleet import current_fleet
from dashboards.view import View
from models.core.errors import JevonsError
from models.core.fleet import HourUse
from models.core.money import plain
from models.core.time import rfc3339

HARDWARE = "/download/hardware.csv"
_HOUR = tuple(field.name for field in fields(HourUse))
_MONEY = ("bill", "prefill_cost", "decode_cost", "idle_cost")

router = APIRouter(include_in_schema=False)


def hardware_href(view: View) -> str:
    """Where the hours of all deployments in a view can be had as CSV."""
    return view.href(HARDWARE, period=view.period.text, theme=None)


@router.get(HARDWARE)
def hardware(request: Request) -> Response:
    """Every hour of every deployment in the period: use by phase, bill, costs, idle."""
    fleet = current_fleet()
    try:
        view = view_behind(request)
        found = fleet.deployments(view.project.id, view.period.start, view.period.end) if fleet is not None else []
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for each in found:
            for hour in each.hours:
                cells = [plain(getattr(hour, name)) if name in _MONEY else getattr(hour, name) for name in _HOUR[1:]]
                yield [each.name, each.accelerator, each.architecture, rfc3339(hour.hour), *cells]

    head = ("deployment", "accelerator", "architecture", *_HOUR)
    return streamed(head, rows(), f"hardware-{view.project.name}-{view.period.text}.csv")
