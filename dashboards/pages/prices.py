"""Prices: which rates are applied, where they come from, and what has none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import acts, book_downloads, data, grids, parts, price_form, shell
from dashboards import format as fmt
from dashboards.asking import may
from dashboards.books import Books, current_books
from dashboards.proof import bucket_name
from dashboards.view import View
from models.core.books import MissingPrice, PriceBook, Rate

PATH = "/prices"
TITLE = "Prices · Jevons"
GRID = "prices-grid"


def build(view: View) -> Component:
    """What has no price, the rates of the models called here, and the books they stand in."""
    books = current_books()
    if books is None:
        return html.Div([parts.page_header("Prices", ["These pages run without a price list."])])
    called = data.whole(view.costs("provider", "model")).rows
    missing = books.missing_prices(view.project.id, view.period.start, view.period.end)
    form = view.get("form") == "rate" and may("editor")
    open_form = dcc.Link([parts.icon("plus"), "Set a rate"], href=view.href(form="rate"), className="button main")
    return html.Div(
        [
            parts.page_header(
                "Prices",
                _sentence(view, missing, len(called)),
                None if form or not may("editor") else open_form,
                parts.csv_link(book_downloads.rates_href(view)),
                parts.copy_link(view.href()),
            ),
            acts.stores(),
            acts.said(),
            html.Div(price_form.form(view), className="grid") if form else None,
            html.Div(parts.safely("Without a price", view, lambda: _missing(view, missing)), className="grid")
            if missing
            else None,
            html.Div(
                parts.safely(
                    "Rates",
                    view,
                    lambda: _rates(
                        view,
                        books.rates(view.project.id, [(row.keys["provider"], row.keys["model"]) for row in called]),
                    ),
                ),
                className="grid",
            ),
            html.Div(parts.safely("Price books", view, lambda: _books(view, books)), className="grid"),
        ]
    )


layout = shell.page(build)


def _sentence(view: View, missing: Sequence[MissingPrice], called: int) -> list[Any]:
    lost = [row for row in missing if row.tokens]
    words: list[Any] = [parts.strong(fmt.plural(called, "model")), f" called in {view.period.label()}; "]
    if lost:
        tokens = sum(row.tokens for row in lost)
        words += [
            parts.strong(f"{fmt.plural(len(lost), 'model')} with {fmt.tokens(tokens)} tokens"),
            " without a price.",
        ]
    else:
        words.append("every token that was reported has a price.")
    return words


def _missing(view: View, missing: Sequence[MissingPrice]) -> Component:
    # Where no rate could mend anything, the column of remedies would be empty.
    remedies = any(_remedy(view, row) for row in missing)
    rows = [
        html.Tr(
            [
                html.Td(
                    dcc.Link(
                        row.model or "no model",
                        href=view.with_filter(("model", row.model), path="/calls", only="unpriced"),
                        title=row.model or "",
                    ),
                    className="name",
                ),
                html.Td(row.provider or fmt.UNKNOWN),
                html.Td(row.reason.replace("_", " ")),
                parts.number(fmt.count(row.calls)),
                parts.number(fmt.tokens(row.tokens), fmt.count(row.tokens)),
                html.Td(fmt.day_and_time(row.last, view.period.spans_years), className="n"),
                *([html.Td(_remedy(view, row), className="n")] if remedies else []),
            ]
        )
        for row in missing
    ]
    head = [
        ("Model", False), ("Provider", False), ("Why", False), ("Calls", True), ("Tokens", True),
        ("Last, UTC", True), *([("", False)] if remedies else []),
    ]  # fmt: skip
    lines = [
        parts.Line(
            row.model or "no model",
            fmt.plural(row.calls, "call"),
            f"{row.provider or fmt.UNKNOWN} · {row.reason.replace('_', ' ')} · {fmt.tokens(row.tokens)} tokens · "
            f"last {fmt.day_and_time(row.last, view.period.spans_years)}",
            view.with_filter(("model", row.model), path="/calls", only="unpriced"),
        )
        for row in missing
    ]
    return parts.card(
        "Without a price" if any(row.tokens for row in missing) else "Calls without usage",
        html.Div(parts.table(head, rows, "Models without a price", "tight"), className="hide-narrow"),
        parts.lines(lines),
        subtitle="what these calls cost is unknown and in no amount; "
        + (
            "a rate set here counts once the month is repriced"
            if any(row.tokens for row in missing)
            else "no rate can price them, because they tell no tokens"
        ),
    )


def _remedy(view: View, row: MissingPrice) -> Component | str:
    if not row.tokens or row.model is None or row.provider is None or not may("editor"):
        return ""
    href = view.href(form="rate", rate_provider=row.provider, rate_model=row.model)
    return dcc.Link("Set a rate", href=href, className="more")


def _when(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else f"{moment.day} {moment:%b %Y}"


def _rates(view: View, rates: Sequence[Rate]) -> Component:
    rows = [
        {
            "id": str(at),
            "model": rate.model or fmt.UNKNOWN,
            "provider": rate.provider or fmt.UNKNOWN,
            "bucket": bucket_name(rate.bucket),
            "price": float(rate.price_per_m),
            "price_text": fmt.rate(rate.price_per_m),
            "price_full": f"${rate.price_per_m:f} per million",
            "tier": _tier(rate),
            "span": f"{_when(rate.valid_from, 'always')} – {_when(rate.valid_to, 'open')}",
            "source": ("own: " if rate.is_own else "") + rate.source,
        }
        for at, rate in enumerate(rates)
    ]
    columns = [
        grids.text_column("model", "Model", minWidth=150, flex=1.6, tooltipField="model"),
        grids.text_column("provider", "Provider", minWidth=90, flex=0.8),
        grids.text_column("bucket", "Bucket", minWidth=136, flex=1),
        grids.number_column("price", "$ / M", minWidth=104, flex=0.7, sortable=True),
        grids.text_column("tier", "Tier", minWidth=110, flex=1),
        grids.text_column("span", "In force", minWidth=160, flex=1.3, tooltipField="span"),
        grids.text_column("source", "Source", minWidth=130, flex=1.2, tooltipField="source"),
    ]
    lines = [
        parts.Line(f"{row['model']} · {row['bucket']}", row["price_text"], f"{row['tier']} · {row['span']}")
        for row in rows
    ]
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Rates of the models called here"),
                    html.Span(fmt.plural(len(rows), "rate"), className="note card-end"),
                ],
                className="chips grid-bar",
            ),
            grids.grid(GRID, columns, rows, label="Rates", most_height=520, sort=view.get("sort")),
            parts.lines(lines),
        ],
        className="card flush",
    )


def _tier(rate: Rate) -> str:
    tier = rate.tier or "standard"
    return f"{tier}, over {fmt.tokens(rate.context_from)}" if rate.context_from else tier


def _books(view: View, books: Books) -> Component:
    found = books.price_books(view.project.id)

    def row(book: PriceBook) -> html.Tr:
        state = parts.badge("in force", "ok") if book.superseded_at is None else parts.badge("replaced")
        return html.Tr(
            [
                parts.number(str(book.id)),
                html.Td(book.name, className="name", title=book.name),
                html.Td(book.source, title=book.source),
                parts.number(fmt.count(book.rates)),
                html.Td(fmt.day_and_time(book.recorded_at, True), className="n"),
                html.Td(book.recorded_by or "shipped"),
                html.Td(state),
            ]
        )

    head = [
        ("No.", True), ("Book", False), ("Source", False), ("Rates", True), ("Recorded, UTC", True),
        ("By", False), ("State", False),
    ]  # fmt: skip
    return parts.card(
        "Price books",
        html.Div(parts.table(head, [row(book) for book in found], "Price books", "tight"), className="hide-narrow"),
        parts.lines(
            [
                parts.Line(
                    book.name,
                    fmt.plural(book.rates, "rate"),
                    f"No. {book.id} · {book.source} · {fmt.day_and_time(book.recorded_at, True)} · "
                    + ("in force" if book.superseded_at is None else "replaced"),
                )
                for book in found
            ]
        ),
        subtitle="a book is never changed: a new one replaces it, and a charge names the one it was priced by",
    )


def register(app: Dash) -> None:
    """The form that sets a rate."""
    price_form.register(app)
    shell.remember_sort(app, GRID)
