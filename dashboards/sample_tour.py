"""What the sample has to show that its first page does not: the recorded price cut, one click away."""

from dash import dcc, html
from dash.development.base_component import Component

from dashboards import parts
from dashboards.view import View

BEFORE, AFTER = "2025-05", "2025-06"
"""Months of the sample before and after OpenAI cut the price of o3 by 80 % on 10 June 2025."""


def price_cut(view: View) -> Component | None:
    """A line that leads to the price cut, on pages of the sample that show something else."""
    if not view.project.is_demo or (view.period.text == AFTER and view.path == "/spend-curves"):
        return None
    first, last = view.project.first_charge, view.project.last_charge
    if first is None or last is None or not f"{first:%Y-%m}" <= BEFORE < AFTER <= f"{last:%Y-%m}":
        return None
    to = view.href("/spend-curves", period=AFTER, compare=BEFORE, filter=None)
    return html.Div(
        [
            parts.icon("curves"),
            html.Span(
                "The sample spans a recorded price change: "
                "on 10 June 2025 o3 became 80\u00a0% cheaper, and was used more."
            ),
            dcc.Link("June against May", href=to),
        ],
        className="quality hint",
        role="note",
    )
