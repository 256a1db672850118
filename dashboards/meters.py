"""Bars with a mark: how much of an amount is used and expected, and an estimate within its interval."""

from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from dashboards.parts import Child, aria

MARK = Decimal(56)
"""Where 100 % stands, in per cent of the bar's width: there is room for what goes over."""


def burn_track(percent: Decimal, expected: Decimal | None, will_exceed: bool | None) -> Component:
    """Used (solid) and expected (pale) of a budget; the tick is 100 %."""
    role = "over" if percent >= 100 else "warm" if will_exceed else ""
    inside: list[Child] = []
    if expected is not None:
        inside.append(html.Span(className="ghost", style={"width": _width(expected)}))
    inside += [
        html.Span(className="used", style={"width": _width(percent)}),
        html.Span(className="mark", style={"left": f"{MARK}%"}),
    ]
    return html.Span(inside, className=f"burn {role}".strip(), **aria(hidden="true"))


def _width(percent: Decimal) -> str:
    return f"{min(percent * MARK / 100, Decimal(100)):.2f}%"


def interval(low: float, middle: float, high: float, reference: float, name: str) -> Component:
    """An estimate (tick) in its interval (pale), beside a reference with its name."""
    least, most = min(low, reference), max(high, reference)
    room = (most - least) * 0.12 or 1.0

    def place(value: float) -> float:
        return 100 * (value - least + room) / (most - least + 2 * room)

    return html.Div(
        [
            html.Span(className="axis"),
            html.Span(
                className="range", style={"left": f"{place(low):.2f}%", "width": f"{place(high) - place(low):.2f}%"}
            ),
            html.Span(className="middle", style={"left": f"{place(middle):.2f}%"}),
            html.Span(className="reference", style={"left": f"{place(reference):.2f}%"}),
            html.Span(name, className="named", style={"left": f"clamp(70px, {place(reference):.2f}%, 100% - 70px)"}),
        ],
        className="interval",
        **aria(hidden="true"),
    )
