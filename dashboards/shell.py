"""The frame of every page: sidebar, and the bar with period, comparison, project, filters, freshness and theme."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update, page_container
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards.asking import may, may_see
from dashboards.data import largest_first, whole
from dashboards.format import plural
from dashboards.grids import order_of
from dashboards.identity import forget
from dashboards.parts import LOAD_SAMPLE, SAMPLE_SAID, aria, badge, card, freshness, icon, marked
from dashboards.period import Period, month_of, parse_period, presets, previous, year_before
from dashboards.plan import open_alerts
from dashboards.reader import current_reader, sample_loader
from dashboards.theme import FONT
from dashboards.view import FILTER_DIMENSIONS, View, view_of
from models.core.errors import JevonsError

LOCATION = "_pages_location"
PROVIDER, SHELL, BURGER = "provider", "shell", "burger"
NAV, BAR, FRESHNESS, TICK = "shell-nav", "shell-bar", "shell-freshness", "shell-tick"
PICK_MONTH, PICK_DAYS = "pick-month", "pick-days"
FILTER_BY, FILTER_VALUE = "filter-by", "filter-value"
FRESHNESS_SECONDS = 15

PAGES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("", (("Overview", "/", "home"),)),
    (
        "Why",
        (
            ("Spend curves", "/spend-curves", "curves"),
            ("Agents", "/agents", "agents"),
            ("Tasks & sessions", "/tasks", "tasks"),
            ("Trace", "/trace", "trace"),
            ("Calls", "/calls", "calls"),
            ("Cache", "/cache", "cache"),
        ),
    ),
    ("Control", (("Budgets & alerts", "/budgets", "bell"), ("Hardware", "/hardware", "hardware"))),
    ("Books", (("Chargeback", "/chargeback", "chargeback"), ("Prices", "/prices", "prices"))),
    ("Trust", (("Data quality", "/quality", "quality"), ("Settings", "/settings", "settings"))),
)
"""Groups of the sidebar: name, address and icon of each page."""


def current_view(href: str | None) -> View:
    """The view of an address as the browser tells it."""
    parts = urlsplit(href or "/")
    search = f"?{parts.query}" if parts.query else ""
    origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return view_of(parts.path or "/", search, current_reader().projects(), datetime.now(UTC), origin)


def page(build: Callable[[View], Component]) -> Callable[..., Awaitable[Component]]:
    """A Dash page from a function of the view. It runs in a thread; a bad address says what is wrong with it."""

    async def layout(href: str | None = None, **_: object) -> Component:
        return await asyncio.to_thread(_built, build, href)

    return layout


def _built(build: Callable[[View], Component], href: str | None) -> Component:
    try:
        view = current_view(href)
        if not may_see(view.path):
            return html.Div(_refused(view), className="content")
        return html.Div(build(view), className="content")
    except JevonsError as fault:
        path = urlsplit(href or "/").path
        back = dcc.Link("Open the page without them", href=path, className="button")
        said = html.Div([icon("warning"), html.Div(str(fault))], className="message")
        return html.Div(card("This address cannot be shown", said, end=back), className="content")


def _refused(view: View) -> Component:
    back = dcc.Link("Overview", href=view.href("/"), className="button")
    said = html.Div([icon("lock"), html.Div("Your role may not see this page. Ask an administrator.")])
    return html.Div([html.H1("Not for your role"), card("This page is not shown", said, end=back)])


def frame() -> Component:
    """The layout before anything is known: it holds no data."""
    return dmc.MantineProvider(
        id=PROVIDER,
        theme={"fontFamily": FONT, "headings": {"fontFamily": FONT}, "primaryColor": "blue", "defaultRadius": 6},
        children=[
            html.A("Skip to the figures", href="#_pages_content", className="skip"),
            dmc.AppShell(
                id=SHELL,
                layout="alt",
                padding=0,
                header={"height": 52},
                navbar={"width": 204, "breakpoint": "sm", "collapsed": {"mobile": True}},
                transitionDuration=0,
                children=[
                    dmc.AppShellNavbar(
                        [
                            html.Div(
                                [
                                    html.Span(className="brand-mark", **aria(hidden="true")),
                                    "Jevons",
                                    dmc.Burger(
                                        id=BURGER,
                                        opened=False,
                                        size="sm",
                                        hiddenFrom="sm",
                                        ml="auto",
                                        **aria(label="Close the menu"),
                                    ),
                                ],
                                className="brand",
                            ),
                            html.Nav(navigation(None), id=NAV, className="nav", **aria(label="Pages")),
                        ]
                    ),
                    dmc.AppShellHeader(html.Div(id=BAR, className="bar")),
                    dmc.AppShellMain(page_container),
                ],
            ),
            dcc.Interval(id=TICK, interval=FRESHNESS_SECONDS * 1000),
        ],
    )


def navigation(view: View | None) -> list[Component]:
    """The sidebar; links keep what stands: project, period, filters."""
    items: list[Component] = []
    for group, listed in PAGES:
        pages = [page for page in listed if may_see(page[1])]
        if group and pages:
            items.append(html.Div(group, className="nav-group"))
        for name, path, symbol in pages:
            href = view.href(path) if view is not None and view.path != path else path if view is None else view.href()
            count = len(open_alerts(view)) if view is not None and path == "/budgets" else 0
            told = html.Span(str(count), className="badge critical", title=plural(count, "open alert"))
            items.append(
                html.Div(
                    dcc.Link([icon(symbol), name, told if count else None], href=href, className="nav-link"),
                    **(aria(current="page") if view is not None and view.path == path else {}),
                )
            )
    return items


def bar(view: View) -> list[Component]:
    """The controls of the view. Each choice is a link, so every state of a page has an address."""
    title = next((name for _, pages in PAGES for name, path, _ in pages if path == view.path), "Jevons")
    status = current_reader().status()
    return [
        html.Button(
            icon("menu"), id="open-menu", className="button plain only-narrow", **aria(label="Menu"), n_clicks=0
        ),
        html.Div(title, className="bar-title"),
        html.Div(
            [_period(view), _compare(view), _project(view), *_chips(view), _add_filter(view)],
            className="chips bar-controls",
        ),
        html.Div(
            [
                html.Div(freshness(status.priced_through, status.lag_seconds, view.now), id=FRESHNESS),
                _narrow(view),
                dcc.Link(
                    icon("sun" if view.theme == "dark" else "moon"),
                    href=view.href(theme="light" if view.theme == "dark" else "dark"),
                    className="button plain theme",
                    title="Light theme" if view.theme == "dark" else "Dark theme",
                ),
            ],
            className="bar-end",
        ),
    ]


def _popover(target: Component, *inside: Component) -> Component:
    return dmc.Popover(
        [
            dmc.PopoverTarget(target),
            dmc.PopoverDropdown(list(inside)),
        ],
        position="bottom-start",
        # The roles would go to a box around the button, where they mean nothing; the button has its own.
        withRoles=False,
        trapFocus=True,
        returnFocus=True,
        shadow="none",
    )


def _button(*inside: Component | str) -> Component:
    return html.Button([*inside, icon("down")], className="button", **aria(haspopup="dialog"))


def _links(head: str, choices: list[tuple[str, str, bool]]) -> Component:
    return html.Div(
        [
            html.Div(head, className="panel-head"),
            *(marked(dcc.Link(name, href=href, className="panel-item"), current) for name, href, current in choices),
        ],
        className="panel-list",
    )


def _preset_links(view: View) -> list[tuple[str, str, bool]]:
    return [(name, view.href(period=period.text), period == view.period) for name, period in presets(view.now.date())]


def _compare_links(view: View) -> list[tuple[str, str, bool]]:
    others = (("previous", previous(view.period)), ("year", year_before(view.period)))
    choices = [(key, other, other == view.compare) for key, other in others]
    named = [
        (f"{'Before' if key == 'previous' else 'A year before'}: {other.label()}", view.href(compare=key), same)
        for key, other, same in choices
    ]
    return [*named, ("No comparison", view.href(compare="none"), view.compare is None)]


def _project_links(view: View) -> list[tuple[str, str, bool]]:
    return [
        (
            one.name + (" (sample)" if one.is_demo else ""),
            view.href(project=one.name, period=None, filter=None),
            one.id == view.project.id,
        )
        for one in view.projects
    ]


def _period(view: View) -> Component:
    today = view.now.date()
    return _popover(
        _button(icon("calendar"), view.period.label()),
        html.Div(
            [
                _links("UTC days", _preset_links(view)),
                html.Div(
                    [
                        html.Div("A month, or days", className="panel-head"),
                        dmc.MonthPickerInput(
                            id=PICK_MONTH,
                            value=view.period.first.isoformat() if view.period.is_month else None,
                            placeholder="Choose a month",
                            maxDate=today.isoformat(),
                            popoverProps={"withinPortal": False},
                            size="xs",
                            mb=8,
                            **aria(label="Month"),
                        ),
                        dmc.DatePicker(
                            id=PICK_DAYS,
                            type="range",
                            value=[view.period.first.isoformat(), view.period.last.isoformat()],
                            defaultDate=view.period.last.isoformat(),
                            maxDate=today.isoformat(),
                            allowSingleDateInRange=True,
                            size="xs",
                        ),
                    ]
                ),
            ],
            className="panel",
        ),
    )


def _compare(view: View) -> Component:
    with_year = view.compare is not None and view.compare.last.year != view.period.last.year
    name = "nothing" if view.compare is None else view.compare.label(with_year)
    return _popover(_button(html.Span("vs", className="quiet"), name), _links("Compare with", _compare_links(view)))


def _project(view: View) -> Component:
    sample = badge("sample", "accent") if view.project.is_demo else ""
    return _popover(
        _button(html.Span("Project", className="quiet"), view.project.name, sample),
        _links("Project", _project_links(view)),
    )


def _chips(view: View) -> list[Component]:
    return [
        dcc.Link(
            [f"{name}: {value or 'none'}", icon("close")],
            href=view.without_filter((name, value)),
            className="chip",
            title="Remove this filter",
        )
        for name, value in view.filters
    ]


def _add_filter(view: View) -> Component:
    names = [{"value": name, "label": name.replace("_", " ")} for name in FILTER_DIMENSIONS]
    return _popover(
        html.Button([icon("plus"), "Filter"], className="chip dashed", **aria(haspopup="dialog")),
        html.Div(
            [
                dmc.Select(
                    id=FILTER_BY,
                    label="Only where",
                    data=names,
                    value=None,
                    w=220,
                    comboboxProps={"withinPortal": False},
                ),
                dmc.Select(
                    id=FILTER_VALUE,
                    label="is",
                    data=[],
                    searchable=True,
                    w=220,
                    mt=8,
                    nothingFoundMessage="no such value in this period",
                    comboboxProps={"withinPortal": False},
                ),
            ]
        ),
    )


def _narrow(view: View) -> Component:
    months = []
    month = month_of(view.now.date())
    for _ in range(4):
        months.append((month.label(), view.href(period=month.text), month == view.period))
        month = previous(month)
    return html.Div(
        _popover(
            html.Button(icon("filter"), className="button plain", **aria(label="Period, project and filters")),
            html.Div(
                [
                    html.Div(f"{view.project.name}, {view.period.label()}", className="panel-head"),
                    html.Div(_chips(view), className="chips"),
                    _links("Period", [*_preset_links(view)[:5], *months]),
                    _links("Compare with", _compare_links(view)),
                    _links("Project", _project_links(view)),
                ],
                className="panel",
            ),
        ),
        className="only-narrow",
    )


def remember_sort(app: Dash, grid: str) -> None:
    """Put the order chosen in a table into the link, so that it is kept, shared, and gone back from."""

    @app.callback(
        Output(LOCATION, "href", allow_duplicate=True),
        Input(grid, "eventData"),
        State(LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def sorted_by(told: dict[str, Any] | None, href: str) -> str:
        if told is None:
            raise PreventUpdate
        view = await asyncio.to_thread(current_view, href)
        order = order_of(told.get("data") or [])
        if order == view.get("sort"):
            raise PreventUpdate
        return view.href(sort=order or None)


def register(app: Dash) -> None:
    """The callbacks of the frame. They run in threads: figures are read from a database."""
    app.clientside_callback(
        "function (menu, burger, shell) {"
        "  const open = dash_clientside.callback_context.triggered_id === 'open-menu' && menu > 0;"
        "  return [{...shell, collapsed: {mobile: !open}}, open];"
        "}",
        Output(SHELL, "navbar"),
        Output(BURGER, "opened"),
        Input("open-menu", "n_clicks"),
        Input(BURGER, "opened"),
        State(SHELL, "navbar"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(NAV, "children"),
        Output(BAR, "children"),
        Output(PROVIDER, "forceColorScheme"),
        Input(LOCATION, "pathname"),
        Input(LOCATION, "search"),
    )
    async def draw(pathname: str | None, search: str | None) -> tuple[object, ...]:
        return await asyncio.to_thread(_drawn, pathname or "/", search or "")

    @app.callback(Output(FRESHNESS, "children"), Input(TICK, "n_intervals"), prevent_initial_call=True)
    async def refresh(_: int | None) -> Component:
        status = await asyncio.to_thread(current_reader().status)
        return freshness(status.priced_through, status.lag_seconds, datetime.now(UTC))

    @app.callback(
        Output(LOCATION, "search", allow_duplicate=True),
        Input(PICK_MONTH, "value"),
        Input(PICK_DAYS, "value"),
        State(LOCATION, "pathname"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    async def pick(month: str | None, days: list[str | None] | None, path: str, search: str) -> str:
        view = await asyncio.to_thread(lambda: current_view(f"{path}{search}"))
        return _search(view.href(period=_picked(view.period, month, days).text))

    @app.callback(
        Output(FILTER_VALUE, "data"),
        Input(FILTER_BY, "value"),
        State(LOCATION, "pathname"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    async def values(dimension: str | None, path: str, search: str) -> list[dict[str, str]]:
        if not dimension:
            raise PreventUpdate
        return await asyncio.to_thread(_values, dimension, f"{path}{search}")

    @app.callback(
        Output(LOCATION, "search", allow_duplicate=True),
        Input(FILTER_VALUE, "value"),
        State(FILTER_BY, "value"),
        State(LOCATION, "pathname"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    async def narrow(value: str | None, dimension: str | None, path: str, search: str) -> str:
        if not dimension or value is None:
            raise PreventUpdate
        view = await asyncio.to_thread(lambda: current_view(f"{path}{search}"))
        return _search(view.with_filter((dimension, None if value == "\0" else value)))

    @app.callback(
        Output(LOCATION, "search", allow_duplicate=True),
        Output(SAMPLE_SAID, "children"),
        Input(LOAD_SAMPLE, "n_clicks"),
        running=[
            (Output(LOAD_SAMPLE, "disabled"), True, False),
            (Output(LOAD_SAMPLE, "children"), "Loading the sample …", "Load the sample"),
        ],
        prevent_initial_call=True,
    )
    async def load(clicks: int | None) -> tuple[object, object]:
        loader = sample_loader()
        if not clicks or loader is None:
            raise PreventUpdate
        if not may("editor"):
            return no_update, "Your role may look, not load. Ask an editor or an administrator."
        try:
            name = await asyncio.to_thread(loader)
        except JevonsError as fault:
            return no_update, str(fault)
        forget()
        return f"?project={name}", "Loaded."


def _drawn(path: str, search: str) -> tuple[object, ...]:
    theme = "dark" if "theme=dark" in search else "light"
    try:
        view = current_view(f"{path}{search}")
        return navigation(view), bar(view), theme
    except JevonsError as fault:
        return navigation(None), [html.Div(str(fault).split(". ")[0], className="quiet")], theme


def _search(href: str) -> str:
    return href[href.index("?") :] if "?" in href else ""


def _picked(now: Period, month: str | None, days: list[str | None] | None) -> Period:
    """The period that a picker changed; the pickers fire when they are drawn too, with what is in force."""
    chosen = parse_period(month[:7]) if month else None
    if chosen is not None and chosen != now:
        return chosen
    if not days or None in days:
        raise PreventUpdate
    period = parse_period("..".join(str(day)[:10] for day in days))
    if period == now:
        raise PreventUpdate
    return period


def _values(dimension: str, href: str) -> list[dict[str, str]]:
    view = current_view(href)
    rows = largest_first(whole(view.costs(dimension)).rows, dimension, view.basis)
    return [
        {"value": value if value is not None else "\0", "label": value if value is not None else "none"}
        for value in (row.keys.get(dimension) for row in rows)
    ]
