"""Settings: projects, keys and people as they are, and the commands that change them."""

from collections.abc import Sequence
from datetime import datetime

import dash_mantine_components as dmc
from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import format as fmt
from dashboards import parts, shell
from dashboards.books import current_books
from dashboards.view import View
from models.core.books import Key, Person

PATH = "/settings"
TITLE = "Settings · Jevons"


def build(view: View) -> Component:
    """Lists to read; changing them is for the command line of the machine that runs this."""
    books = current_books()
    keys, people = (books.keys(), books.people()) if books is not None else ((), ())
    live = [key for key in keys if _state(key, view.now) == "in force"]
    sentence = [
        parts.strong(fmt.plural(len(view.projects), "project")),
        ", ",
        parts.strong(fmt.plural(len(live), "key")),
        " in force, ",
        parts.strong(fmt.plural(len(people), "user")),
        ".",
    ]
    return html.Div(
        [
            parts.page_header("Settings", sentence, parts.copy_link(view.href())),
            html.Div(_projects(view), className="grid"),
            html.Div(
                [html.Div(_keys(view, keys), className="w6"), html.Div(_people(people), className="w6")],
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _run(*commands: str) -> Component:
    return dmc.CodeHighlight(code="\n".join(commands), language="bash", copyLabel="Copy", copiedLabel="Copied")


def _day(moment: datetime | None) -> str:
    return fmt.UNKNOWN if moment is None else f"{moment.day} {moment:%b %Y}"


def _projects(view: View) -> Component:
    rows = [
        html.Tr(
            [
                html.Td(
                    [
                        dcc.Link(one.name, href=view.href("/", project=one.name, period=None, filter=None)),
                        " ",
                        parts.badge("sample", "accent") if one.is_demo else None,
                    ],
                    className="name",
                ),
                parts.number(_day(one.first_charge)),
                parts.number(_day(one.last_charge)),
            ]
        )
        for one in view.projects
    ]
    head = [("Project", False), ("First call, UTC", True), ("Last call, UTC", True)]
    return parts.card(
        "Projects",
        parts.table(head, rows, "Projects", "tight"),
        subtitle="a separate set of telemetry and figures; an agent's key says which it belongs to",
    )


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "in force"


def _keys(view: View, keys: Sequence[Key]) -> Component:
    def row(key: Key) -> html.Tr:
        state = _state(key, view.now)
        return html.Tr(
            [
                html.Td(key.name, className="name", title=key.name),
                html.Td(key.project),
                html.Td(key.scope),
                html.Td(f"{key.hint}…", className="mono"),
                parts.number(_day(key.expires_at) if key.expires_at else "no end"),
                html.Td(parts.badge(state, "ok" if state == "in force" else "")),
            ]
        )

    head = [("Name", False), ("Project", False), ("May", False), ("Begins", False), ("Ends", True), ("State", False)]
    lines = [
        parts.Line(
            key.name, _state(key, view.now), f"{key.project} · {key.scope} · {key.hint}… · "
            + (f"ends {_day(key.expires_at)}" if key.expires_at else "no end"),
        )
        for key in keys
    ]  # fmt: skip
    listed = (
        [html.Div(parts.table(head, [row(key) for key in keys], "Keys", "tight"), className="hide-narrow"),
         parts.lines(lines)]
        if keys
        else [html.P("No key was made yet.")]
    )  # fmt: skip
    return parts.card(
        "Keys",
        *listed,
        _run("jevons keys create --help", "jevons keys list"),
        subtitle="a secret is shown once, when its key is made; only its digest is kept",
    )


def _people(people: Sequence[Person]) -> Component:
    rows = [
        html.Tr(
            [
                html.Td(one.name, className="name"),
                html.Td(one.role),
                html.Td(parts.badge("disabled") if one.disabled else parts.badge("may log in", "ok")),
            ]
        )
        for one in people
    ]
    head = [("Name", False), ("Role", False), ("State", False)]
    listed = (
        parts.table(head, rows, "People", "tight")
        if rows
        else html.P("Nobody has a login: on loopback none is needed.")
    )
    return parts.card(
        "People",
        listed,
        _run("jevons users create --help", "jevons users --help"),
        subtitle="viewers read, editors set prices and budgets, admins do everything",
    )


def register(_: Dash) -> None:
    """Nothing is changed on this page."""
