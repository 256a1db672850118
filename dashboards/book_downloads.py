"""Rates in force and findings about the data as CSV: what the pages about prices and data quality show."""

from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from dashboards import data
from dashboards.books import current_books
from dashboards.control_downloads import view_behind
from dashboards.downloads import _streamed as streamed
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.errors import JevonsError
from models.core.time import rfc3339

RATES, QUALITY = "/download/rates.csv", "/download/quality.csv"
_RATE = (
    "provider",
    "model",
    "bucket",
    "usd_per_million",
    "tier",
    "context_from",
    "valid_from",
    "valid_to",
    "own",
    "source",
)
_FINDING = ("finding", "where", "count", "is_problem", "said", "advice", "example_trace")

router = APIRouter(include_in_schema=False)


def rates_href(view: View) -> str:
    """Where the rates of the models of a view can be had as CSV."""
    return view.href(RATES, period=view.period.text, theme=None)


def quality_href(view: View) -> str:
    """Where the findings of a period can be had as CSV."""
    return view.href(QUALITY, period=view.period.text, theme=None)


@router.get(RATES)
def rates(request: Request) -> Response:
    """Every rate of the models called in the period and every own one; an empty bound is open."""
    books = current_books()
    try:
        view = view_behind(request)
        called = [(row.keys["provider"], row.keys["model"]) for row in data.whole(view.costs("provider", "model")).rows]
        found = books.rates(view.project.id, called) if books is not None else ()
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for rate in found:
            yield [
                rate.provider, rate.model, rate.bucket, f"{rate.price_per_m:f}", rate.tier, rate.context_from,
                rfc3339(rate.valid_from) if rate.valid_from else None,
                rfc3339(rate.valid_to) if rate.valid_to else None,
                rate.is_own, rate.source,
            ]  # fmt: skip

    return streamed(_RATE, rows(), f"rates-{view.project.name}-{view.period.text}.csv")


@router.get(QUALITY)
def quality(request: Request) -> Response:
    """Every finding of the period, what is to be done about it and a trace that shows it."""
    try:
        view = view_behind(request)
        found = current_reader().quality([view.project.id], view.period.start, view.period.end).findings
    except JevonsError as fault:
        return PlainTextResponse(str(fault), status_code=fault.status)

    def rows() -> Iterator[list[object]]:
        for one in found:
            example = one.examples[0].trace_id if one.examples else None
            yield [one.kind.value, one.what, one.count, one.is_problem, one.said, one.advice, example]

    return streamed(_FINDING, rows(), f"quality-{view.project.name}-{view.period.text}.csv")
