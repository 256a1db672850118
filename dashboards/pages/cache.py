"""Cache: what caching saves, and what it wastes."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import cache_downloads, parts, shell
from dashboards import format as fmt
from dashboards.identity import colour, places
from dashboards.reader import current_reader
from dashboards.view import View
from models.costs.cache_report import HOUR_PAYS_FROM, CacheReport, CacheRow

PATH = "/cache"
TITLE = "Cache · Jevons"
MOST = 40
RATES = (
    ("read_of_input", "of input", "cache reads ÷ all input tokens"),
    ("read_of_cached", "of cached", "cache reads ÷ (reads + writes)"),
    ("read_of_readable", "of readable", "cache reads ÷ (reads + uncached input)"),
)


def build(view: View) -> Component:
    """Answer, tiles, the table by agent and model, and what was written for nothing."""
    report = current_reader().cache(view.costs())
    if not report.rows:
        return html.Div([parts.page_header("Cache", ["No call used tokens here yet."]), parts.teach(view)])
    return html.Div(
        [
            parts.page_header(
                "Cache",
                _sentence(report),
                parts.csv_link(cache_downloads.cache_href(view)),
                parts.copy_link(view.href()),
            ),
            _tiles(report),
            html.Div(parts.safely("Rates", view, lambda: _rates(view, report)), className="grid"),
            html.Div(
                [
                    html.Div(parts.safely("Waste", view, lambda: _waste(view, report)), className="w8"),
                    html.Div(parts.safely("Break-even", view, lambda: _break_even(report)), className="w4"),
                ],
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _sentence(report: CacheReport) -> list[Any]:
    total = report.total
    if total.seen_calls and not total.reporting_calls:
        return [
            "No provider of these calls reports cache reads, so there is no hit rate. ",
            parts.strong("Not reported"),
            " is not 0 %.",
        ]
    words: list[Any] = []
    if total.savings is not None and total.without_cache:
        verb = "saved" if total.savings >= 0 else "cost"
        share = fmt.percent(abs(total.savings) / total.without_cache)
        words += [
            "Caching ",
            parts.strong(f"{verb} {fmt.money_short(abs(total.savings))}", total.savings),
            f", {share} of what the input would have cost without it; ",
        ]
    those = "" if report.is_whole else f" of {_newest(total)}"
    words += [parts.strong(_percent(total.read_of_input)), f" of the input{those} was read from a cache."]
    if total.lost_to_expiry:
        words += [" Pauses longer than the lifetime lost about "]
        words += [parts.strong(f"~{fmt.money_short(total.lost_to_expiry)}", total.lost_to_expiry), "."]
    return words


def _percent(rate: float | None) -> str:
    return fmt.percent(None if rate is None else Decimal(str(rate)))


def _tiles(report: CacheReport) -> Component:
    total = report.total
    among = "" if report.is_whole else f", {_newest(total)}"
    reported = f"{fmt.count(total.reporting_calls)} of {fmt.plural(total.seen_calls, 'call')} report reads"
    share = (
        f"{fmt.percent(total.savings / total.without_cache)} of {fmt.money_short(total.without_cache)} without cache"
        if total.savings is not None and total.without_cache
        else "nothing was priced"
    )
    return html.Div(
        [
            parts.tile(
                "Read from cache, of input",
                "not reported" if total.seen_calls and not total.reporting_calls else _percent(total.read_of_input),
                note=reported,
            ),
            parts.tile("Saved", fmt.money_short(total.savings), note=share, title=fmt.money_exact(total.savings)),
            parts.tile(
                "Write premium",
                fmt.money_short(total.write_premium),
                note=f"above plain input, {fmt.tokens(total.written_tokens)} tokens written",
                title=fmt.money_exact(total.write_premium),
            ),
            parts.tile(
                "Lost to expiry",
                fmt.UNKNOWN if total.lost_to_expiry is None else f"~{fmt.money_short(total.lost_to_expiry)}",
                note=f"{fmt.tokens(total.rewritten_tokens)} tokens written again after a pause{among}",
                title=f"{fmt.money_exact(total.lost_to_expiry)}: estimated from the order of calls",
            ),
        ],
        className="tiles four",
    )


def _name(view: View, row: CacheRow, known: dict[str, int]) -> list[Any]:
    words = f"{row.agent or 'no agent'} × {row.model or 'no model'}"
    to = view.with_filter(("agent", row.agent), ("model", row.model), path="/calls")
    tone = colour(known.get(row.model) if row.model else None, view.theme)
    return [parts.swatch(tone), dcc.Link(words, href=to, title=words)]


def _told(row: CacheRow) -> str:
    if not row.seen_calls:
        return "older calls alone"
    return f"{_percent(row.read_of_input)} of input read" if row.reporting_calls else "reads not reported"


def _hit(row: CacheRow, name: str, meaning: str) -> html.Td:
    rate: float | None = getattr(row, name)
    if not row.seen_calls:
        return parts.number(fmt.UNKNOWN, "none of these calls is among the newest, which were looked at")
    if not row.reporting_calls:
        return parts.number(html.Span("not reported", className="quiet"), "no call of these tells cache reads")
    return parts.number(_percent(rate), meaning)


def _rates(view: View, report: CacheReport) -> Component:
    known = places(view.project, "model")
    digits = fmt.digits_for(report.total.without_cache)
    rows = [
        html.Tr(
            [
                html.Td(_name(view, row, known), className="name"),
                parts.number(fmt.count(row.calls)),
                *(_hit(row, name, meaning) for name, _, meaning in RATES),
                *_money(row, digits),
            ]
        )
        for row in report.rows[:MOST]
    ]
    total = report.total
    rows.append(
        html.Tr(
            [
                html.Td("Total"),
                parts.number(fmt.count(total.calls)),
                *(_hit(total, name, meaning) for name, _, meaning in RATES),
                *_money(total, digits),
            ],
            className="total",
        )
    )
    head = [
        ("Agent × model", False), ("Calls", True), *((f"Hit, {name}", True) for _, name, _ in RATES),
        ("Input cost", True), ("Without cache", True), ("Saved", True),
    ]  # fmt: skip
    lines = [
        parts.Line(
            f"{row.agent or 'no agent'} × {row.model or 'no model'}",
            fmt.money(row.savings, digits),
            f"{_told(row)} · {fmt.money(row.cost, digits)} of {fmt.money(row.without_cache, digits)}",
            view.with_filter(("agent", row.agent), ("model", row.model), path="/calls"),
        )
        for row in report.rows[:MOST]
    ]
    lines.append(parts.Line("Saved in total", fmt.money(total.savings, digits), bold=True))
    notes = [f"Hit of input: {RATES[0][2]}. Of cached: {RATES[1][2]}. Of readable: {RATES[2][2]}. "]
    notes.append("Only calls whose provider reports reads count.")
    if len(report.rows) > MOST:
        notes.append(f" {len(report.rows) - MOST} more rows in the CSV.")
    if not report.is_whole:
        notes.append(f" Hit rates are those of {_newest(total)}; calls and money are all of the period's.")
    return parts.card(
        "What caching saves",
        html.Div(parts.table(head, rows, "Cache by agent and model"), className="hide-narrow"),
        parts.lines(lines),
        subtitle="three hit rates, because they are three numbers; input only, avoided cost is shown and never booked",
        foot=notes,
    )


def _newest(total: CacheRow) -> str:
    return f"the newest {fmt.plural(total.seen_calls, 'call')}"


def _money(row: CacheRow, digits: int) -> list[html.Td]:
    tone = "" if not row.savings else "down" if row.savings > 0 else "up"
    return [
        parts.number(fmt.money(row.cost, digits), fmt.money_exact(row.cost)),
        parts.number(fmt.money(row.without_cache, digits), fmt.money_exact(row.without_cache)),
        parts.number(fmt.money(row.savings, digits), fmt.money_exact(row.savings), tone),
    ]


def _waste(view: View, report: CacheReport) -> Component:
    writing = [row for row in report.rows if row.written_tokens]
    if not writing:
        return parts.card(
            "What it wastes",
            html.P(
                "No call reports a cache write: its provider caches by itself and bills no write, or does not tell.",
                className="quiet-inbox",
            ),
        )
    writing.sort(key=lambda row: -((row.never_read_cost or Decimal(0)) + (row.lost_to_expiry or Decimal(0))))
    known = places(view.project, "model")
    total = report.total
    digits = fmt.digits_for(total.never_read_cost)
    rows = [_waste_row(_name(view, row, known), row, digits) for row in writing[:MOST]]
    rows.append(_waste_row(["Total"], total, digits, "total"))
    head = [
        ("Agent × model", False), ("Written", True), ("Premium", True), ("Never read", True), ("Its cost", True),
        ("Lost to expiry", True),
    ]  # fmt: skip
    lines = [
        parts.Line(
            f"{row.agent or 'no agent'} × {row.model or 'no model'}",
            _about(row.never_read_cost, digits),
            f"{_share(row)} of {fmt.tokens(row.seen_written_tokens)} written never read · "
            f"expiry {_about(row.lost_to_expiry, digits)}",
        )
        for row in (*writing[:MOST], total)
    ]
    foot = "~ estimated from the order of each session's calls: providers do not say why a read missed."
    if not report.is_whole:
        foot += f" Never read and lost to expiry are of {_newest(total)}; written and premium are all of the period's."
    return parts.card(
        "What it wastes",
        html.Div(parts.table(head, rows, "Cache writes"), className="hide-narrow"),
        parts.lines(lines),
        subtitle="writes that no next call of the session read, and writes repeated after a pause beyond the lifetime",
        foot=foot,
    )


def _about(cost: Decimal | None, digits: int) -> str:
    text = fmt.money(cost, digits)
    return text if cost is None or cost == 0 else f"~{text}"


def _share(row: CacheRow) -> str:
    if row.never_read_tokens is None:
        return fmt.UNKNOWN
    return fmt.percent(fmt.share_of(Decimal(row.never_read_tokens), Decimal(row.seen_written_tokens)), 0)


def _waste_row(name: Sequence[Any], row: CacheRow, digits: int, extra: str = "") -> html.Tr:
    return html.Tr(
        [
            html.Td(list(name), className="name"),
            parts.number(fmt.tokens(row.written_tokens), fmt.count(row.written_tokens)),
            parts.number(fmt.money(row.write_premium, digits), fmt.money_exact(row.write_premium)),
            parts.number(_share(row), f"{fmt.count(row.never_read_tokens)} tokens"),
            parts.number(_about(row.never_read_cost, digits), fmt.money_exact(row.never_read_cost)),
            parts.number(_about(row.lost_to_expiry, digits), fmt.money_exact(row.lost_to_expiry)),
        ],
        className=extra or None,
    )


def _break_even(report: CacheReport) -> Component:
    total = report.total
    from_share = fmt.percent(Decimal(HOUR_PAYS_FROM.numerator) / HOUR_PAYS_FROM.denominator)
    mine = total.rewrites_within_hour
    if mine is None:
        those = "" if report.is_whole else f" by {_newest(total)}"
        said: list[Any] = [f"Nothing was written to a cache that bills writes{those}."]
    else:
        better = "one hour is the cheaper lifetime" if total.hour_pays else "five minutes is the cheaper lifetime"
        said = [parts.strong(_percent(mine)), " of what was written rewrites what a pause lost: ", html.B(better), "."]
    foot = "At the multiples of a provider that bills writes; where a write costs as much as input, caching pays."
    if not report.is_whole:
        foot += f" Rewrites are those of {_newest(total)}."
    return parts.card(
        "Five minutes or one hour",
        html.P(said, className="words"),
        html.Hr(className="rule"),
        parts.facts(
            ("Write for 5 minutes", "1.25 × input"),
            ("Write for 1 hour", "2 × input"),
            ("Read", "0.1 × input"),
            ("5 minutes pays from", "1 read per write"),
            ("1 hour pays from", "2 reads per write"),
            ("1 hour beats 5 minutes from", f"{from_share} rewrites"),
        ),
        subtitle="rewrites after pauses of 5 to 60 minutes decide",
        foot=foot,
    )


def register(app: Dash) -> None:
    """Everything on this page is a link."""
