"""One incident: is it real, how fast does it burn, who owns it, and the buttons under the thumb."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards import alerts, control_downloads, control_figures, parts
from dashboards import format as fmt
from dashboards.desk import Desk
from dashboards.view import View
from models.core.controls import Incident, IncidentState
from models.core.desk import IncidentFile, Repeat
from models.core.errors import NotFound

CHART = "incident-burn"
FIRST, LAST = 5, 2
"""Repeats that are shown from the beginning and from the end."""


def incident_page(view: View, desk: Desk, number: str) -> Component:
    """The page of one incident.

    Raises   NotFound.
    """
    if not number.isdecimal() or len(number) > 18:
        raise NotFound(f"incident={number} is no number of an incident.")
    file = desk.incident(view.project.id, int(number))
    found = file.incident
    back = dcc.Link("All alerts", href=view.href(incident=None), className="button hide-narrow")
    title = f"{alerts.headline(found)}, incident {found.id}"
    acts = alerts.buttons(view, found, short=False)
    top = parts.page_header(
        title,
        _sentence(file),
        back,
        parts.csv_link(control_downloads.repeats_href(view, found.id)) if file.repeats else None,
        parts.copy_link(view.href()),
        html.Div(acts, className="acts hide-narrow") if acts else None,
    )
    return html.Div(
        [
            top,
            _badges(view, file),
            _tiles(found),
            html.Div(
                [
                    html.Div(
                        [
                            parts.safely("Burn", view, lambda: _burn(view, desk, file)),
                            _repeats(file) if file.repeats else None,
                        ],
                        className="stack",
                    ),
                    html.Div([_where(view, file), _why(file), _timeline(file)], className="stack"),
                ],
                className="split wide-side",
            ),
            html.Div(
                alerts.buttons(view, found, short=False, place="thumb")
                or [dcc.Link("All alerts", href=view.href(incident=None), className="button")],
                className="thumb",
            ),
        ],
        className="over-thumb",
    )


def _sentence(file: IncidentFile) -> list[Any]:
    found = file.incident
    findings = found.evidence.get("findings") or []
    who = found.agent or found.team or found.session or "An agent without a name"
    if found.kind == "budget":
        evidence = found.evidence
        spent, amount = Decimal(evidence["spent"]), Decimal(evidence["amount"])
        words: list[Any] = [
            parts.strong(f"{fmt.money(spent)} of {fmt.money(amount)}", spent),
            f" is spent, {Decimal(evidence['percent']):.1f} %.",
        ]
        if evidence.get("forecast"):
            words += [" The forecast is ", parts.strong(fmt.money_short(Decimal(evidence["forecast"]))), "."]
        return words
    if not findings:
        return [parts.strong(found.title), "."]
    first = findings[0]
    took = datetime.fromisoformat(first["last"]) - datetime.fromisoformat(first["since"])
    names = " → ".join(first["what"])
    if found.kind in ("repeated_step", "near_duplicate"):
        words = [f"{who} repeats ", parts.strong(f"the same step {names}, {found.repeats} times")]
    elif found.kind == "cycle":
        words = [f"{who} goes ", parts.strong(f"round {names}, {found.repeats} times")]
    else:
        words = [parts.strong(first["title"])]
    words.append(f" in {fmt.span_of_time(took)}.")
    results = {one.result for one in file.repeats if one.result is not None}
    sizes = [one.context for one in file.repeats if one.context is not None]
    grown = (
        f"the context grew from {fmt.tokens(sizes[0])} to {fmt.tokens(sizes[-1])}"
        if len(sizes) > 1 and sizes[-1] > sizes[0]
        else ""
    )
    if len(results) == 1:
        words.append(f" It is real: no result changed{' while ' + grown if grown else ''}.")
    elif results:
        words.append(f" {len(results)} different results{', ' + grown if grown else ''}.")
    elif grown:
        words.append(f" {grown[0].upper()}{grown[1:]}.")
    return words


def _badges(view: View, file: IncidentFile) -> Component:
    found = file.incident
    over = found.state is IncidentState.RESOLVED
    opened = found.opened_at.astimezone(UTC)
    told = sum(one.delivered_at is not None for one in file.deliveries)
    state = "resolved" if over else f"{found.state.value} since {opened:%H:%M}"
    seen = found.last_seen_at.astimezone(UTC)
    return html.Div(
        [
            parts.badge(found.severity, "critical" if found.severity == "critical" and not over else "", "warning"),
            parts.badge(state, alerts.ROLES[found.state.value], "check" if over else ""),
            parts.badge("quiet: it came late, nobody was told", "", "info")
            if found.quiet
            else parts.badge(f"told {told}×"),
            html.Span(f"last seen {seen.day} {seen:%b %H:%M:%S} UTC", className="note"),
        ],
        className="chips badges",
    )


def _tiles(found: Incident) -> Component:
    over = found.state is IncidentState.RESOLVED or found.quiet
    rate = found.cost_per_minute
    hour = None if rate is None or found.cost_so_far is None else found.cost_so_far + rate * 60
    digits = fmt.digits_for(found.cost_so_far)
    last = (
        parts.tile(
            "Wasted",
            fmt.money(found.waste, digits),
            note="after the repeats that are allowed",
            title=fmt.money_exact(found.waste),
        )
        if over and found.waste is not None
        else parts.tile(
            "In an hour if unchanged",
            fmt.UNKNOWN if hour is None else f"~{fmt.money_short(hour)}",
            note="so far + 60 × per minute",
            title=fmt.money_exact(hour),
        )
    )
    label = "Per minute, while it ran" if over else "Per minute"
    speed = html.Span(fmt.money_short(rate), className="" if over or rate is None else "critical-text")
    return html.Div(
        [
            parts.tile("So far", fmt.money(found.cost_so_far, digits), title=fmt.money_exact(found.cost_so_far)),
            parts.tile(label, speed, title=fmt.money_exact(rate)),
            last,
        ],
        className="tiles three",
    )


def _burn(view: View, desk: Desk, file: IncidentFile) -> Component:
    found = file.incident
    if found.kind == "budget" and found.budget_id is not None:
        spent = desk.burndown(view.project.id, found.budget_id)
        amount = Decimal(found.evidence["amount"])
        figure = control_figures.burn_down(spent, amount, view.theme)
        return parts.card(
            "Burn",
            parts.graph(CHART, figure, 190, f"{fmt.money_short(found.cost_so_far)} of {fmt.money_short(amount)}."),
            subtitle="cumulative spend against the budget, UTC days",
        )
    usual = found.evidence.get("normal_per_minute")
    if not file.burn:
        said = f"{fmt.money_short(found.cost_per_minute)} a minute"
        return parts.card(
            "Burn, $ per minute",
            html.P(
                f"{said}, {'usual is ' + fmt.money_short(Decimal(usual)) if usual else 'no usual rate is known'}.",
                className="note",
            ),
        )
    findings = found.evidence.get("findings") or []
    began = datetime.fromisoformat(findings[0]["since"]) if findings else None
    figure = control_figures.burn_rate(file.burn, began, Decimal(usual) if usual else None, view.theme)
    width = fmt.span_of_time(timedelta(seconds=file.burn[0].seconds))
    most = max(one.per_minute for one in file.burn)
    return parts.card(
        "Burn, $ per minute",
        parts.graph(CHART, figure, 190, f"Money per minute, at most {fmt.money_short(most)}."),
        subtitle=f"every model call of the trace, in steps of {width}, UTC",
    )


def _repeats(file: IncidentFile) -> Component:
    rows = list(file.repeats)
    shown: list[Repeat | None] = list(rows)
    if len(rows) > FIRST + LAST + 1:
        shown = [*rows[:FIRST], None, *rows[-LAST:]]
    digits = 4 if any((one.cost or Decimal(0)) < Decimal("0.1") for one in rows) else 2
    tools = list(dict.fromkeys(one.tool for one in rows if one.tool))
    hashes = {one.arguments for one in rows}
    told = next(iter(hashes)) if len(hashes) == 1 else None
    mixed = len(tools) > 1
    quick = rows[-1].at - rows[0].at < timedelta(seconds=2 * len(rows))
    body: list[html.Tr] = []
    for one in shown:
        if one is None:
            gap = html.Td(f"… {len(rows) - FIRST - LAST} more", colSpan=6 if mixed else 5, className="quiet")
            body.append(html.Tr(gap))
            continue
        result = one.result or ("error" if one.failed else "not reported")
        body.append(
            html.Tr(
                [
                    html.Td(one.number, className="num"),
                    html.Td(_moment(one.at, quick), className="num"),
                    html.Td(one.tool) if mixed else None,
                    html.Td(
                        [result, " error" if one.failed and one.result else ""],
                        className="mono" if one.result else "quiet",
                    ),
                    parts.number(fmt.tokens(one.context), fmt.count(one.context)),
                    parts.number(fmt.money(one.cost, digits), fmt.money_exact(one.cost)),
                ]
            )
        )
    head = [("#", False), ("Ended, UTC", False), *([("Tool", False)] if mixed else [])]
    head += [("Result", False), ("Context", True), ("Cost", True)]
    same = "Same keyed hash of arguments each time" if told else "Hashes of arguments differ or are not told"
    results = {one.result for one in rows}
    changed = "; 0 results changed" if len(results) == 1 and None not in results else ""
    return parts.card(
        "What repeats",
        html.Div(
            [
                html.Code(" → ".join(tools), className="mono step"),
                html.Code(told, className="mono step quiet", title="keyed hash of the arguments") if told else None,
                parts.badge(f"×{file.incident.repeats}", "critical"),
            ],
            className="chips",
        ),
        parts.table(head, body, "Steps of the loop"),
        foot=f"{same}{changed}. Arguments and prompts are not stored.",
    )


def _moment(at: datetime, quick: bool) -> str:
    """A time of day, with milliseconds where steps follow each other within seconds."""
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M:%S}.{utc.microsecond // 1000:03d}" if quick else f"{utc:%H:%M:%S}"


def _where(view: View, file: IncidentFile) -> Component:
    found = file.incident
    pairs: list[tuple[str, Any]] = []
    if found.agent:
        to = view.with_filter(("agent", found.agent), path="/calls")
        pairs.append(("Agent", dcc.Link(found.agent, href=to, className="more")))
    pairs.append(("Team, owner", found.team or "no team"))
    if found.trace_id is not None:
        trace = found.trace_id.hex()
        to = view.href("/trace", trace=trace, filter=None)
        pairs.append(
            ("Trace", dcc.Link(f"{trace[:4]} {trace[4:8]}", href=to, className="mono trace-link", title=trace))
        )
    if file.task:
        pairs.append(("Task", file.task))
    if found.session:
        pairs.append(("Session", html.Span(found.session, className="mono")))
    if file.trace_cost and found.cost_so_far is not None:
        share = fmt.percent(found.cost_so_far / file.trace_cost)
        digits = fmt.digits_for(file.trace_cost)
        of = f"{fmt.money(found.cost_so_far, digits)} of {fmt.money(file.trace_cost, digits)}, {share}"
        pairs.append(("Loop of trace cost", of))
    real = len(file.before)
    pairs.append(("Similar before", f"{real} in 30 days" if real else "none in 30 days"))
    return parts.card("Where", parts.facts(*pairs))


def _why(file: IncidentFile) -> Component:
    found = file.incident
    findings = found.evidence.get("findings") or []
    pairs: list[tuple[str, Any]] = []
    if findings:
        first = findings[0]
        kind = first["kind"].replace("_", " ")
        pairs.append(("Detector", f"{kind}, from {first['threshold']} on"))
        fired = file.repeats[first["threshold"] - 1] if len(file.repeats) >= first["threshold"] else None
        if fired is not None:
            pairs.append(("Complete at", f"{fired.at.astimezone(UTC):%H:%M:%S}, repeat {fired.number}"))
        pairs.append(("Opened", f"{found.opened_at.astimezone(UTC):%H:%M:%S}"))
        if first.get("suppressors_checked"):
            pairs.append(("Suppressors", f"{', '.join(first['suppressors_checked'])}: no match"))
        pairs.append(("Confidence", first["confidence"]))
        pairs += [("Also seen", other["title"].partition(": ")[2]) for other in findings[1:4]]
    else:
        names = {"percent": "Used, %", "rule": "Rule", "normal_per_minute": "Usual per minute", "forecast": "Forecast",
                 "window_minutes": "Window, minutes", "period_start": "Period from", "period_end": "Period to",
                 "thresholds_crossed": "Thresholds reached"}  # fmt: skip
        for key, name in names.items():
            value = found.evidence.get(key)
            if value not in (None, []):
                pairs.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return parts.card("Why this fired", parts.facts(*pairs))


def _timeline(file: IncidentFile) -> Component:
    found = file.incident
    names = {channel.id: channel.name for channel in file.channels}
    events: list[tuple[datetime, str]] = []
    if file.repeats:
        events.append((file.repeats[0].at, "first step of the loop"))
        events.append((file.repeats[-1].at, f"last step seen, ×{len(file.repeats)}"))
    events.append((found.opened_at, "incident opened" + (", quietly" if found.quiet else "")))
    for one in file.deliveries:
        channel = names.get(one.channel_id, "a removed channel")
        what = "resolution" if one.event.startswith("resolved") else one.event.partition(":")[0]
        if one.delivered_at is not None:
            took = fmt.span_of_time(one.delivered_at - one.created_at)
            events.append((one.delivered_at, f"{what} delivered to {channel} in {took}"))
        else:
            events.append((one.created_at, f"{what} to {channel}: {one.state}, {fmt.plural(one.attempts, 'attempt')}"))
    if found.acknowledged_at is not None:
        events.append((found.acknowledged_at, f"acknowledged by {found.acknowledged_by}"))
    if found.resolved_at is not None:
        events.append((found.resolved_at, f"resolved by {found.resolved_by}"))
    items = [
        html.Div([html.Span(_clock(at, events), className="num quiet"), html.Span(words)])
        for at, words in sorted(events, key=lambda event: event[0])
    ]
    return parts.card("Timeline", html.Div(items, className="timeline"), subtitle="UTC")


def _clock(at: datetime, events: Sequence[tuple[datetime, str]]) -> str:
    utc = at.astimezone(UTC)
    one_day = len({moment.astimezone(UTC).date() for moment, _ in events}) == 1
    return f"{utc:%H:%M:%S}" if one_day else f"{utc.day} {utc:%b %H:%M}"
