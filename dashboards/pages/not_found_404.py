"""An address that no page has."""

from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards.parts import card
from dashboards.shell import page
from dashboards.view import View

PATH = "/not-found"
TITLE = "Not found · Jevons"


def build(view: View) -> Component:
    """Name the address and lead back."""
    return card(
        f"There is no page {view.path}",
        html.P(dcc.Link("Open the overview", href=view.href("/"), className="button")),
    )


layout = page(build)


def register(app: Dash) -> None:
    """No callbacks."""
