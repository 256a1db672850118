"""`/api/v1/statements` and `/api/v1/exports`: what finance takes away, as JSON and files."""

from itertools import chain
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from app import exporting, wiring
from app.auth import Principal, viewer
from app.routes.asking import json_response
from app.routes.periods import Named
from models.store.periods import list_periods, month_named

router = APIRouter(prefix="/api/v1", tags=["exports"])

Reads = Annotated[Principal, Depends(viewer)]
Month = Annotated[str, Query(description="The month, `YYYY-MM`.", examples=["2026-10"])]


def _file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


@router.get("/statements")
def statements(
    who: Reads,
    named: Named,
    period: Month,
    by: Literal["cost_center", "team"] = "cost_center",
    format: Literal["json", "csv"] = "json",
) -> Response:
    """What each cost centre or team pays for a month, to the cent; what nobody owns is a line of its own."""
    found = wiring.current().reader.statement(who.readable(named), month_named(period), by)
    if format == "json":
        return json_response(found.as_json())
    name = f"statement-{period}-{by}.csv"
    return Response(exporting.statement_csv(found), media_type="text/csv; charset=utf-8", headers=_file(name))


@router.get("/exports/focus")
def focus(who: Reads, named: Named, period: Month, format: Literal["csv", "parquet"] = "csv") -> Response:
    """Cost and usage of a month as FOCUS 1.2: token, hardware, idle, purchase and correction rows."""
    month, ids, reader = month_named(period), who.readable(named), wiring.current().reader
    if format == "parquet":
        body = exporting.focus_parquet_file(reader, ids, month)
        return Response(body, media_type="application/vnd.apache.parquet", headers=_file(f"focus-{period}.parquet"))
    pieces = exporting.focus_csv_bytes(reader, ids, month)
    header = next(pieces)
    return StreamingResponse(
        chain([header], pieces), media_type="text/csv; charset=utf-8", headers=_file(f"focus-{period}.csv")
    )


@router.get("/exports/journal")
def journal(who: Reads, named: Named, period: Month) -> Response:
    """The neutral accounting journal of a month: expense by cost centre against clearing."""
    month, ids = month_named(period), who.readable(named)
    found = wiring.current().reader.statement(ids, month)
    with wiring.transaction() as connection:
        rows = list_periods(connection, ids, month)
    sequence = max((row.snapshots[0].number for row in rows if row.snapshots), default=0)
    body = exporting.journal_csv(found, sequence)
    return Response(body, media_type="text/csv; charset=utf-8", headers=_file(f"journal-{period}.csv"))
