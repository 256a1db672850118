"""Selecting a call in a table: its proof appears beside it, the link remembers it, and nothing else is read again."""

import asyncio
from typing import Any

from dash import Dash, Input, Output, State, dcc
from dash.development.base_component import Component

from dashboards.parts import COPY_LINK, safely
from dashboards.proof import proof
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.errors import NotFound
from models.core.queries import CallQuery

# The address changes without a visit to the page router: a visit would read and draw the whole table again.
_REMEMBER = """
function (rows) {
  const none = dash_clientside.no_update;
  const row = rows && rows[0];
  const url = new URL(location);
  if (!row || url.searchParams.get("span") === row.span_id) return [none, none];
  url.searchParams.set("span", row.span_id);
  history.replaceState(history.state, "", url);
  return [{trace: row.trace_id, span: row.span_id}, url.pathname + url.search];
}
"""


def chosen(side: str) -> Component:
    """What a page with such a table holds: the call selected since it was drawn."""
    return dcc.Store(id=_store(side))


def _store(side: str) -> str:
    return f"{side}-chosen"


def register(app: Dash, grid: str, side: str) -> None:
    """Fill `side` with the proof of the row selected in `grid`; rows carry `trace_id` and `span_id`."""
    from dashboards.shell import LOCATION, current_view

    app.clientside_callback(
        _REMEMBER,
        Output(_store(side), "data"),
        Output(COPY_LINK, "value", allow_duplicate=True),
        Input(grid, "selectedRows"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(side, "children"), Input(_store(side), "data"), State(LOCATION, "href"), prevent_initial_call=True
    )
    async def prove(chosen: dict[str, Any] | None, href: str) -> Component | None:
        if not chosen:
            return None
        return await asyncio.to_thread(_proof, current_view, chosen, href)


def _proof(view_of: Any, chosen: dict[str, Any], href: str) -> Component:
    view: View = view_of(href)

    def draw() -> Component:
        query = CallQuery(projects=(view.project.id,), trace_id=bytes.fromhex(chosen["trace"]), limit=1000)
        call = None
        while call is None:
            page = current_reader().calls(query)
            call = next((one for one in page.calls if one["span_id"] == chosen["span"]), None)
            if call is None and page.next_cursor is None:
                raise NotFound(f"the call {chosen['span']} is no longer there. Reload the page.")
            query.cursor = page.next_cursor
        return proof(view, call, view.href(span=None))

    return safely("Model call", view, draw)
