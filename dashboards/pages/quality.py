"""Data quality: can the figures be trusted, by which instrumentation not, and what would have to change."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import book_downloads, parts, shell
from dashboards import format as fmt
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.quality import Coverage, Example, Finding, FindingKind, Quality, Unmetered

PATH = "/quality"
TITLE = "Data quality · Jevons"

_NAMES = {
    FindingKind.ABSENT: "No usage",
    FindingKind.PARTIAL: "Usage in part",
    FindingKind.ESTIMATED: "Counts known to be wrong",
    FindingKind.INVENTED: "Counts made up",
    FindingKind.METRICS: "Metrics say more",
    FindingKind.AMBIGUOUS: "Convention unknown",
    FindingKind.DISAGREEMENT: "Descriptions disagree",
    FindingKind.MATCHED: "Tied without an id",
    FindingKind.DUPLICATE: "Duplicates left out",
    FindingKind.ROLLUP: "Roll-ups left out",
    FindingKind.REJECTED: "Rejected",
    FindingKind.LATE: "Late spans",
    FindingKind.NO_AGENT: "No agent",
    FindingKind.NO_TEAM: "No team",
}
MOST_OF_A_KIND = 3
"""Findings of one kind that are shown before the rest is summed in one row; `all=1` in the link shows each."""
_WORST = (FindingKind.ABSENT, FindingKind.METRICS, FindingKind.REJECTED, FindingKind.ESTIMATED)


def build(view: View) -> Component:
    """Coverage, findings and unmetered calls of the view's period."""
    found = current_reader().quality([view.project.id], view.period.start, view.period.end)
    if not found.coverage and not found.findings:
        nothing = parts.page_header("Data quality", ["No telemetry came in here."])
        return html.Div([nothing, parts.teach(view)])
    problems = [finding for finding in found.findings if finding.is_problem]
    settled = [finding for finding in found.findings if not finding.is_problem]
    return html.Div(
        [
            parts.page_header(
                "Data quality",
                _answer(found),
                parts.csv_link(book_downloads.quality_href(view)),
                parts.copy_link(view.href()),
            ),
            _tiles(found),
            html.Div(
                [
                    parts.safely("What to change", view, lambda: _problems(view, problems)),
                    parts.safely("Coverage", view, lambda: _coverage(found)),
                    parts.safely("Calls without usage", view, lambda: _unmetered(view, found.unmetered))
                    if found.unmetered
                    else None,
                    parts.safely("Dealt with", view, lambda: _settled(view, settled)) if settled else None,
                ],
                className="stack",
            ),
        ]
    )


layout = shell.page(build)


def _sum(found: Quality, name: str) -> int:
    return sum(getattr(row, name) for row in found.coverage)


def _told(found: Quality) -> Decimal | None:
    return fmt.share_of(Decimal(_sum(found, "reported") + _sum(found, "refused")), Decimal(found.calls))


def _answer(found: Quality) -> list[parts.Child]:
    absent = _sum(found, "absent")
    return [
        parts.strong(fmt.percent(_told(found))),
        " of " if found.is_all else " of the newest ",
        parts.strong(fmt.plural(found.calls, "call")),
        " tell their usage in full. ",
        f"Without usage, and in no total: {fmt.plural(absent, 'call')}." if absent else None,
    ]


def _tiles(found: Quality) -> Component:
    left_out = sum(
        finding.count for finding in found.findings if finding.kind in (FindingKind.DUPLICATE, FindingKind.ROLLUP)
    )
    rejected = sum(finding.count for finding in found.findings if finding.kind is FindingKind.REJECTED)
    doubtful = _sum(found, "partial") + _sum(found, "estimated") + _sum(found, "ambiguous")
    return html.Div(
        [
            parts.tile("Usage told in full", fmt.percent(_told(found)), note="reported, or refused by the provider"),
            parts.tile("Without usage", fmt.count(_sum(found, "absent")), "calls", note="outside every total"),
            parts.tile("In doubt", fmt.count(doubtful), "calls", note="in part, known faults, convention unknown"),
            parts.tile(
                "Spans left out", fmt.count(left_out), note=f"duplicates and roll-ups; {fmt.count(rejected)} rejected"
            ),
        ],
        className="tiles even",
    )


def _see(view: View, examples: Sequence[Example]) -> Component | str:
    if not examples:
        return fmt.UNKNOWN
    first = examples[0]
    address = view.href("/trace", trace=first.trace_id, span=first.span_id)
    return dcc.Link(first.trace_id[:8], href=address, className="more mono", title="opens the trace")


def _address(view: View, examples: Sequence[Example]) -> str:
    return view.href("/trace", trace=examples[0].trace_id, span=examples[0].span_id) if examples else ""


def _findings(view: View, findings: Sequence[Finding], label: str) -> list[Component]:
    shown, hidden = _fewer(findings) if view.get("all") != "1" else (list(findings), 0)
    rows = [
        html.Tr(
            [
                html.Td(parts.badge(_NAMES[row.kind], _role(row))),
                html.Td([html.Div(row.what, className="wrap"), html.Div(row.said, className="note")]),
                parts.number(fmt.count(row.count)),
                html.Td(row.advice or "Nothing: figures are right.", className="quiet" if not row.advice else None),
                html.Td(_see(view, row.examples)),
            ]
        )
        for row in shown
    ]
    head = (("Finding", False), ("Where", False), ("Count", True), ("What to change", False), ("Example", False))
    return [
        html.Div(parts.table(head, rows, label, "roomy"), className="hide-narrow"),
        parts.lines(
            [
                parts.Line(
                    f"{_NAMES[row.kind]} · {row.what}",
                    fmt.count(row.count),
                    f"{row.said}. {row.advice}",
                    _address(view, row.examples),
                )
                for row in shown
            ]
        ),
        *([dcc.Link("Each of them", href=view.href(all="1"), className="more")] if hidden else []),
    ]


def _fewer(findings: Sequence[Finding]) -> tuple[list[Finding], int]:
    """The first of each kind and one row for the rest of it; how many that row stands for."""
    shown: list[Finding] = []
    hidden = 0
    for kind in dict.fromkeys(finding.kind for finding in findings):
        own = [finding for finding in findings if finding.kind is kind]
        rest = own[MOST_OF_A_KIND:] if len(own) > MOST_OF_A_KIND + 1 else []
        shown += own[: len(own) - len(rest)]
        if rest:
            hidden += len(rest)
            what, count = f"{len(rest)} more instrumentations", sum(finding.count for finding in rest)
            shown.append(replace(rest[0], what=what, count=count))
    return shown, hidden


def _role(finding: Finding) -> str:
    if not finding.is_problem:
        return "ok"
    return "critical" if finding.kind in _WORST else "warn"


def _problems(view: View, findings: Sequence[Finding]) -> Component:
    if not findings:
        return parts.card("What to change", html.P("Nothing: every call tells its usage, agent and team."))
    return parts.card(
        "What to change",
        *_findings(view, findings, "Findings to act on"),
        subtitle="what costs most first, by instrumentation; an example opens its trace",
    )


def _settled(view: View, findings: Sequence[Finding]) -> Component:
    return parts.card(
        "Dealt with",
        *_findings(view, findings, "Findings that need no action"),
        subtitle="read so that nothing counts twice",
    )


def _coverage(found: Quality) -> Component:
    def cells(row: Coverage) -> html.Tr:
        full = fmt.share_of(Decimal(row.reported + row.refused), Decimal(row.calls)) if row.calls else None
        return html.Tr(
            [
                html.Td(row.instrumentation, className="wrap"),
                parts.number(fmt.count(row.spans)),
                parts.number(fmt.count(row.calls)),
                parts.number(fmt.percent(full)),
                parts.number(fmt.count(row.partial)),
                parts.number(fmt.count(row.estimated)),
                parts.number(fmt.count(row.absent)),
                parts.number(fmt.count(row.refused)),
                parts.number(fmt.count(row.ambiguous)),
            ]
        )

    head = (
        ("Instrumentation", False),
        ("Spans", True),
        ("Calls", True),
        ("In full", True),
        ("In part", True),
        ("Known faults", True),
        ("No usage", True),
        ("Refused", True),
        ("Convention unknown", True),
    )
    return parts.card(
        "Coverage by instrumentation",
        html.Div(
            parts.table(head, [cells(row) for row in found.coverage], "Coverage by instrumentation"),
            className="hide-narrow",
        ),
        parts.lines(
            [
                parts.Line(
                    row.instrumentation,
                    fmt.plural(row.calls, "call"),
                    f"{fmt.count(row.reported)} in full · {fmt.count(row.absent)} without usage · "
                    f"{fmt.count(row.partial + row.estimated)} in doubt · {fmt.plural(row.spans, 'span')}",
                )
                for row in found.coverage
            ]
        ),
        subtitle="spans of HTTP, tools and agents make no calls; a refused request used nothing",
        foot=None
        if found.is_all
        else f"Counted are the newest {fmt.plural(found.calls, 'call')}, and the spans of the newest days.",
    )


def _between(low: str, middle: str, high: str) -> list[parts.Child]:
    return [f"~{middle}", html.Div(f"{low} to {high}", className="note")]


def _unmetered(view: View, rows: Sequence[Unmetered]) -> Component:
    def tokens(row: Unmetered) -> list[parts.Child]:
        if row.tokens is None:
            return [fmt.UNKNOWN]
        return _between(fmt.tokens(row.tokens_low), fmt.tokens(row.tokens), fmt.tokens(row.tokens_high))

    def cost(row: Unmetered) -> list[parts.Child]:
        if row.cost is None:
            return [fmt.UNKNOWN]
        return _between(fmt.money_short(row.cost_low), fmt.money_short(row.cost), fmt.money_short(row.cost_high))

    def basis(row: Unmetered) -> str:
        return f"{fmt.plural(row.peers, 'call')} of the same {row.basis}" if row.peers else "no call is like it"

    head = (
        ("Agent", False),
        ("Model", False),
        ("Calls", True),
        ("Tokens", True),
        ("Cost", True),
        ("Estimated from", False),
        ("Example", False),
    )
    body = [
        html.Tr(
            [
                html.Td(row.agent or fmt.UNKNOWN),
                html.Td(row.model or fmt.UNKNOWN),
                parts.number(fmt.count(row.calls)),
                parts.number(tokens(row)),
                parts.number(cost(row)),
                html.Td(basis(row)),
                html.Td(_see(view, row.examples)),
            ]
        )
        for row in rows
    ]
    return parts.card(
        "Calls without usage: what they may have used",
        html.Div(parts.table(head, body, "Estimates of calls without usage", "roomy"), className="hide-narrow"),
        parts.lines(
            [
                parts.Line(
                    f"{row.agent or fmt.UNKNOWN} · {row.model or fmt.UNKNOWN}",
                    f"~{fmt.money_short(row.cost)}" if row.cost is not None else fmt.UNKNOWN,
                    f"{fmt.plural(row.calls, 'call')}, ~{fmt.tokens(row.tokens)} tokens from {basis(row)}",
                    _address(view, row.examples),
                )
                for row in rows
            ]
        ),
        subtitle="estimates, in no total: the median of their like, between the 5th and the 95th percentile",
        foot="A call that failed on this side may never have been processed: it counts nothing in the lower bound.",
    )


def register(app: Dash) -> None:
    """No callbacks: everything on the page is a link."""
