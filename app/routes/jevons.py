"""`/api/v1/jevons/…`: why the bill moved, price and volume indices, elasticity and rebound, forecast."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import cost_query, json_response
from app.routes.asking import dimensions as names_of
from models.core.money import plain, rounded
from models.core.queries import CostQuery
from models.core.vocabulary import CostBasis
from models.costs import questions
from models.costs.decomposition import CellEffects
from models.costs.forecast import Band, Forecast
from models.costs.index import IndexPoint
from models.costs.outlook import HISTORY, outlook, rebound_of
from models.costs.wording import sentence

router = APIRouter(prefix="/api/v1/jevons", tags=["spend curves"])

Who = Annotated[Principal, Depends(viewer)]
Filters = Annotated[list[str] | None, Query(alias="filter", description="`dimension:value`, repeatable.")]


def _query(
    who: Principal, start: datetime | None, end: datetime | None, filters: list[str] | None, basis: CostBasis
) -> CostQuery:
    return cost_query(who, start, end, (), filters, basis, questions.PAGE, None)


@router.get("/decomposition")
def decomposition(
    who: Who,
    base_start: datetime,
    base_end: datetime,
    start: datetime,
    end: datetime,
    dimensions: Annotated[str, Query(description="Comma-separated dimensions of a cell.")] = "agent,model",
    filter_texts: Filters = None,
    basis: CostBasis = CostBasis.EFFECTIVE,
) -> Response:
    """Split the change of spend between two periods into six effects that sum to it exactly."""
    base, current = (_query(who, *period, filter_texts, basis) for period in ((base_start, base_end), (start, end)))
    found = questions.bridge(wiring.current().reader.costs, base, current, names_of(dimensions))
    return json_response(
        {
            "base": plain(found.found.base),
            "current": plain(found.found.current),
            "change": plain(found.found.change),
            "effects": {name: plain(effect) for name, effect in found.found.effects.items()},
            "cells": [_cell(cell, found.dimensions) for cell in found.found.cells],
            "activity": found.activity,
            "unpriced_tokens": found.unpriced_tokens,
            "sentence": sentence(found.found),
        }
    )


def _cell(cell: CellEffects, names: Sequence[str]) -> dict[str, Any]:
    return {
        **dict(zip(names, cell.key, strict=True)),
        "base": plain(cell.base),
        "current": plain(cell.current),
        "change": plain(cell.change),
        "effects": {name: plain(effect) for name, effect in cell.effects.items()},
    }


@router.get("/index")
def index(
    who: Who,
    start: datetime | None = None,
    end: datetime | None = None,
    filter_texts: Filters = None,
    basis: CostBasis = CostBasis.EFFECTIVE,
) -> Response:
    """Chained Fisher price index, volume index and bill by month, each from 100; by default the last twelve months."""
    until = end or datetime.now(UTC)
    since = start or (until - timedelta(days=365)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    points = questions.price_index(wiring.current().reader.costs, _query(who, since, until, filter_texts, basis))
    return json_response({"months": [_point(point) for point in points]})


def _point(point: IndexPoint) -> dict[str, Any]:
    return {
        "month": point.label,
        "chain": point.chain,
        "price_index": plain(rounded(point.price_index, 9)),
        "volume_index": plain(rounded(point.volume_index, 9)),
        "bill_index": plain(rounded(point.bill_index, 9)),
        "bill": plain(point.bill),
        "price_per_task": None if point.price_per_task is None else plain(rounded(point.price_per_task, 15)),
        "matched_share": None if point.matched_share is None else plain(rounded(point.matched_share, 6)),
        "note": point.note,
    }


@router.get("/elasticity")
def elasticity(
    who: Who,
    start: datetime | None = None,
    end: datetime | None = None,
    filter_texts: Filters = None,
    basis: CostBasis = CostBasis.EFFECTIVE,
) -> Response:
    """Elasticity of volume to price by day, and the rebound between the first and the last month of the period."""
    until = end or datetime.now(UTC)
    query = _query(who, start or until - timedelta(days=180), until, filter_texts, basis)
    ask = wiring.current().reader.costs
    found = questions.elasticity_by_day(ask, query, wiring.current().statistics)
    return json_response(
        {
            "elasticity": found.elasticity,
            "low": found.low,
            "high": found.high,
            "jevons": found.jevons,
            "days": found.days,
            "price_changes": found.price_changes,
            "reason": found.reason,
            "rebound": _rebound(questions.price_index(ask, query)),
        }
    )


def _rebound(points: Sequence[IndexPoint]) -> dict[str, Any] | None:
    """Rebound between the ends of the last chain, in money of its first month; None under two months."""
    report = rebound_of(points)
    if report is None:
        return None
    found, volume = report.found, report.break_even_volume
    return {
        "from": report.first.label,
        "to": report.last.label,
        "price_change": plain(rounded(report.price_change, 9)),
        "expected_saving": plain(rounded(found.expected_saving, 15)),
        "actual_saving": plain(rounded(found.actual_saving, 15)),
        "rebound": None if found.rebound is None else plain(rounded(found.rebound, 6)),
        "backfire": found.backfire,
        "break_even_volume": None if volume is None else plain(rounded(volume, 6)),
    }


@router.get("/forecast")
def forecast_spend(
    who: Who,
    at: Annotated[datetime | None, Query(description="The moment to forecast from; default: now.")] = None,
    filter_texts: Filters = None,
    basis: CostBasis = CostBasis.EFFECTIVE,
) -> Response:
    """Spend at the end of this month and over the next 90 days, with 80 % and 95 % intervals and a back-test."""
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    today = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    query = _query(who, today - HISTORY, today, filter_texts, basis)
    found = outlook(wiring.current().reader.costs, query, moment, wiring.current().statistics)
    month, quarter = found.month, found.quarter
    return json_response(
        {
            "from": today,
            "history_days": len(found.spend),
            "method": month.method,
            "note": month.note,
            "month_end": {
                "spent": plain(found.spent),
                **_band(found.month_end),
                "back_test": _back_test(month),
            },
            "next_90_days": {
                **_band(quarter.total),
                "back_test": _back_test(quarter),
                "days": [{"day": day.isoformat(), **_band(band)} for day, band in quarter.days],
            },
        }
    )


def _band(band: Band) -> dict[str, Any]:
    """Estimates as decimal strings in cents: more digits would claim more than is known."""
    names = ("middle", "low_80", "high_80", "low_95", "high_95")
    return {name: f"{getattr(band, name):.2f}" for name in names}


def _back_test(found: Forecast) -> dict[str, Any]:
    test = found.back_test
    return {"origins": test.origins, "median_error": test.median_error, "covered_80": test.covered_80}
