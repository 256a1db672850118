"""Buttons that change something: each is a request to the API, with its roles, audit trail and error texts."""

import json
from collections.abc import Mapping
from typing import Any

from dash import ALL, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from dashboards.asking import may
from dashboards.parts import Children, aria
from dashboards.view import View

KIND = "act"
NOT_YOURS = "Your role may look, not change. Ask an editor or an administrator."
DONE, ASKED, SAID = "act-done", "act-asked", "act-said"

# One request per click. Success redraws the page, or goes where the request says; a refusal is told in its own words.
_ASK = """
async function (_, asked) {
  const from = dash_clientside.callback_context.triggered[0];
  const none = dash_clientside.no_update;
  if (!from || !from.value) return [none, none, none];
  const id = dash_clientside.callback_context.triggered_id;
  const ask = from.prop_id.startsWith("act-asked") ? asked : JSON.parse(id.ask);
  const headers = {"x-jevons-project": ask.project};
  if (ask.body) headers["content-type"] = "application/json";
  let fault = "";
  try {
    const answer = await fetch(ask.path, {method: ask.method, headers, body: ask.body && JSON.stringify(ask.body)});
    if (!answer.ok) fault = (await answer.json()).detail || "the server answered " + answer.status;
  } catch (lost) { fault = "The server cannot be reached. Nothing was changed."; }
  if (fault) return [none, fault, none];
  return [Date.now(), ask.said || "", ask.then || none];
}
"""


def request(
    view: View, method: str, path: str, body: Mapping[str, Any] | None = None, said: str = "", then: str = ""
) -> dict[str, Any]:
    """A request to the API about the project of the view, what is said when it is done, and where to go then."""
    return {
        "method": method,
        "path": f"/api/v1{path}",
        "body": body,
        "project": view.project.name,
        "said": said,
        "then": then,
    }


def button(label: Children, ask: Mapping[str, Any], extra: str = "", title: str = "", place: str = "") -> Component:
    """A button that sends a request, locked for who may only look; `place` tells apart two of the same on one page."""
    refused = not may("editor")
    return html.Button(
        label,
        id={"kind": KIND, "place": place, "ask": json.dumps(ask, ensure_ascii=False)},
        className=f"button {extra}".strip(),
        title=NOT_YOURS if refused else title or None,
        disabled=refused,
        n_clicks=0,
    )


def locked() -> dict[str, Any]:
    """What a button of a form gets so that who may only look cannot press it: `**locked()`."""
    return {} if may("editor") else {"disabled": True, "title": NOT_YOURS}


def way(label: Children, href: str, extra: str = "") -> Component | None:
    """A link to a form that changes something; nothing for who may only look."""
    return dcc.Link(label, href=href, className=f"button {extra}".strip()) if may("editor") else None


def stores() -> Component:
    """What a page with such buttons holds: the last request done, one asked for by a form, and what was said."""
    return html.Div([dcc.Store(id=DONE), dcc.Store(id=ASKED)])


def said() -> Component:
    """Where a refusal is told, for eyes and screen readers."""
    return html.Div(id=SAID, className="said", role="status", **aria(live="polite"))


def register(app: Dash) -> None:
    """The one callback behind all buttons."""
    from dashboards.shell import LOCATION

    app.clientside_callback(
        _ASK,
        Output(DONE, "data"),
        Output(SAID, "children"),
        Output(LOCATION, "href", allow_duplicate=True),
        Input({"kind": KIND, "place": ALL, "ask": ALL}, "n_clicks"),
        Input(ASKED, "data"),
        prevent_initial_call=True,
    )
