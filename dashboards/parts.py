"""The pieces every page is made of: header, tile, card, badges, links, lists, and the states of a card."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import format as fmt
from dashboards.reader import sample_loader
from dashboards.view import View
from models.core.errors import JevonsError

Child = Component | str | int | None
Children = Child | Sequence[Child]

LOAD_SAMPLE = "load-sample"
SAMPLE_SAID = "sample-said"
COPY_LINK = "copy-link"

log = logging.getLogger(__name__)


def aria(**words: str) -> dict[str, Any]:
    """ARIA attributes of a component: `**aria(label="Pages")`."""
    return {f"aria-{name}": word for name, word in words.items()}


def icon(name: str) -> html.Span:
    """An icon of assets/icons.css; the word beside it carries the meaning."""
    return html.Span(className=f"icon icon-{name}", **aria(hidden="true"))


def marked(child: Child, current: bool) -> html.Span:
    """A link in a row of choices, marked for eyes and screen readers when it is the one in force."""
    return html.Span(child, **aria(current="true")) if current else html.Span(child)


def segments(label: str, choices: Iterable[tuple[str, str, bool]]) -> html.Nav:
    """A row of choices, each a link: name, address, whether it is in force."""
    return html.Nav(
        [marked(dcc.Link(name, href=href), current) for name, href, current in choices],
        className="segments",
        **aria(label=label),
    )


def strong(text: str, exact: Decimal | None = None) -> html.B:
    """A bold part of a sentence, with the exact amount on hover."""
    return html.B(text, title=fmt.money_exact(exact)) if exact is not None else html.B(text)


def exact(text: str, cost: Decimal | None) -> html.Span:
    """An amount as shown, with every digit on hover."""
    return html.Span(text, title=fmt.money_exact(cost))


def page_header(title: Children, sentence: Sequence[Child], *actions: Child) -> html.Div:
    """Title, the answer in one sentence, and up to three actions."""
    words = html.P([piece for piece in sentence if piece is not None], className="answer")
    return html.Div([html.Div([html.H1(title), words]), html.Div(list(actions), className="actions")], className="head")


def csv_link(href: str, name: str = "CSV") -> html.A:
    """Download of the same figures with exact amounts."""
    return html.A([icon("download"), name], href=href, className="button", download="")


def copy_link(href: str) -> dmc.CopyButton:
    """Copies the address of the page, which holds everything on it."""
    return dmc.CopyButton(
        id=COPY_LINK,
        value=href,
        children=[icon("link"), "Copy link"],
        copiedChildren=[icon("check"), "Copied"],
        variant="default",
        buttonProps={"className": "button"},
    )


def card(
    title: Children,
    *body: Child,
    subtitle: Children = None,
    end: Children = None,
    foot: Children = None,
    extra: str = "",
) -> html.Section:
    """A bordered card: title and subtitle stacked, controls at the right, a note at the foot."""
    head = html.Div(
        [
            html.Div([html.H2(title), html.Div(subtitle, className="card-sub") if subtitle else None]),
            html.Div(end, className="card-end") if end else None,
        ],
        className="card-head",
    )
    note = html.Div(foot, className="card-foot") if foot else None
    return html.Section([head, *body, note], className=f"card {extra}".strip())


def tile(label: str, value: Child, unit: str = "", note: Children = None, title: str = "", href: str = "") -> html.Div:
    """A figure with its label; the value leads to what it is made of."""
    inner: list[Child] = [value, html.Span(f" {unit}", className="tile-unit") if unit else None]
    shown = (
        dcc.Link(inner, href=href, className="tile-value", title=title)
        if href
        else html.Span(inner, className="tile-value", title=title)
    )
    return html.Div(
        [html.Div(label, className="tile-label"), shown, html.Div(note, className="tile-note")], className="tile"
    )


def track(share: Decimal | None, low: bool = False) -> html.Span:
    """A thin bar of a share of one."""
    width = 0 if share is None else max(0, min(100, float(share * 100)))
    return html.Span(html.Span(style={"width": f"{width:.2f}%"}), className="track low" if low else "track")


def badge(text: str, role: str = "", symbol: str = "") -> html.Span:
    """A word in a box. Roles: accent, ok, warn, critical; none is neutral."""
    return html.Span([icon(symbol) if symbol else None, text], className=f"badge {role}".strip())


def swatch(colour: str) -> html.Span:
    """The colour that a name has on every page."""
    return html.Span(className="swatch", style={"background": colour}, **aria(hidden="true"))


def legend(*pairs: tuple[str, str]) -> html.Div:
    """Names of colours, where a chart's table does not give them."""
    return html.Div([html.Span([swatch(colour), name]) for name, colour in pairs], className="legend")


def facts(*pairs: tuple[str, Children]) -> html.Dl:
    """Key-value list, values at the right."""
    return html.Dl([item for key, value in pairs for item in (html.Dt(key), html.Dd(value))], className="facts")


def table(head: Sequence[tuple[str, bool]], rows: Sequence[html.Tr], label: str, extra: str = "") -> html.Table:
    """A small table: column names with whether they are numbers, then rows."""
    cells = [html.Th(name, className="n" if number else None, scope="col") for name, number in head]
    return html.Table(
        [html.Thead(html.Tr(cells)), html.Tbody(list(rows))],
        className=f"rows {extra}".strip(),
        **aria(label=label),
    )


@dataclass(slots=True, frozen=True)
class Line:
    """A row of a wide table as two lines of a phone: name and number above, facts below."""

    name: str
    number: str
    facts: str = ""
    href: str = ""
    depth: int = 0
    bold: bool = False
    chosen: bool = False


def lines(rows: Sequence[Line], most: int = 200) -> html.Ul:
    """A wide table on a narrow screen; CSS shows it there only."""
    items: list[html.Li] = []
    for row in rows[:most]:
        name = dcc.Link(row.name, href=row.href) if row.href else html.Span(row.name)
        weight = "first strong" if row.bold else "first"
        inside = [
            html.Div([name, html.Span(row.number, className="n num")], className=weight),
            html.Div(row.facts, className="second") if row.facts else None,
        ]
        style = {"paddingLeft": f"{row.depth * 12}px"}
        items.append(html.Li(inside, className="chosen" if row.chosen else None, style=style))
    if len(rows) > most:
        items.append(html.Li(f"{len(rows) - most:,} more rows in the CSV", className="note"))
    return html.Ul(items, className="lines")


def number(child: Children, title: str = "", extra: str = "") -> html.Td:
    """A cell with a number."""
    return html.Td(child, className=f"n {extra}".strip(), title=title or None)


def change_class(now: Decimal | None, before: Decimal | None) -> str:
    """`up`, `down`, or nothing where the change is unknown or none."""
    if now is None or before is None or now == before:
        return ""
    return "up" if now > before else "down"


def graph(name: str, figure: go.Figure, height: int, label: str) -> html.Div:
    """A chart with the sentence that says what it shows."""
    return html.Div(
        dcc.Graph(
            id=name,
            figure=figure,
            responsive=True,
            style={"height": f"{height}px"},
            config={"displayModeBar": False, "doubleClick": False, "showTips": False},
        ),
        role="img",
        **aria(label=label),
    )


def safely(title: str, view: View, draw: Callable[[], Component]) -> Component:
    """The card, or in its place what failed and what to do; the other cards live on."""
    try:
        return draw()
    except JevonsError as fault:
        said = str(fault)
    except Exception:
        log.exception("card %s of %s could not be drawn", title, view.path)
        said = "The figures could not be read. The log of the server names the cause."
    retry = dcc.Link([icon("retry"), "Retry"], href=view.href(), className="button", refresh=True)
    return card(title, html.Div([icon("warning"), html.Div(said)], className="message"), end=retry)


def freshness(priced_through: datetime | None, lag_seconds: float, now: datetime) -> html.Div:
    """How far the figures go: the dot turns amber when they are more than two minutes behind.

    Where nothing waits, figures are as fresh as the last call, however long ago it was.
    """
    if priced_through is None:
        return html.Div(
            [html.Span(className="dot none"), html.Span("nothing priced yet", className="words")], className="freshness"
        )
    late = lag_seconds > 120
    behind = f"{lag_seconds:.0f} s" if lag_seconds < 60 else f"{lag_seconds / 60:.0f} min"
    through = priced_through.astimezone(UTC)
    at = fmt.clock(through) if through.date() == now.date() else f"{through.day} {through:%b %Y %H:%M} UTC"
    return html.Div(
        [
            html.Span(className="dot late" if late else "dot"),
            html.Span(f"priced through {at}, {behind} behind", className="words"),
            html.Span(behind, className="short"),
        ],
        className="freshness",
        title=f"every call that ended before {through.isoformat()} is in the figures",
    )


def teach(view: View) -> html.Div:
    """What to paste so that figures appear here, and the sample to look at meanwhile."""
    env = (
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={view.origin or 'http://127.0.0.1:4318'}\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        "export OTEL_RESOURCE_ATTRIBUTES=service.name=my-agent,team=my-team,deployment.environment=dev"
    )
    demo = next((one for one in view.projects if one.is_demo and one.last_charge), None)
    if demo is None and sample_loader() is None:
        sample: Child = html.Span(
            ["Or load the sample: ", html.Code("jevons demo", className="mono")], className="quiet"
        )
    elif demo is None:
        sample = html.Button("Load the sample", id=LOAD_SAMPLE, className="button main", n_clicks=0)
    elif demo.id == view.project.id:
        sample = dcc.Link("All days of the sample", href=view.href(period=None, filter=None), className="button main")
    else:
        address = view.href("/", project=demo.name, period=None, filter=None)
        sample = dcc.Link("Open the sample", href=address, className="button main")
    narrowed = ", ".join(f"{name} {value or 'none'}" for name, value in view.filters)
    why = f"No calls of {view.project.name} in {view.period.label()}" + (f" with {narrowed}" if narrowed else "")
    return html.Div(
        card(
            why,
            html.P("Give these to the process of an agent that emits OpenTelemetry; its calls appear within seconds:"),
            dmc.CodeHighlight(code=env, language="bash", copyLabel="Copy", copiedLabel="Copied"),
            html.Div([sample, html.Span(id=SAMPLE_SAID, className="note")], className="chips"),
            subtitle="no cost is shown where nothing was measured",
            foot="Prompts and completions are not stored. Recorded traces can be read with: jevons ingest PATH",
        ),
        className="teach",
    )
