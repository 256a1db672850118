"""Hardware: what own machines cost by phase, how much of them is idle, and what the same calls would cost elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import data, hardware_figures, parts, shell
from dashboards import format as fmt
from dashboards.fleet import Fleet, current_fleet
from dashboards.hardware_downloads import hardware_href
from dashboards.view import View
from models.core.errors import BadInput
from models.core.fleet import DeploymentUse, Replay
from models.core.money import PER_MILLION
from models.costs.whatif_presets import Assumptions

PATH = "/hardware"
TITLE = "Hardware · Jevons"
USE, BARS = "hardware-use", "hardware-bars"
MOST_REPLAYED = 50_000
"""Calls that are replayed when the page is opened; more only when asked for."""
ROLES = {
    "own_measurement": "ok",
    "measured_curve": "ok",
    "hardware_fit": "accent",
    "prior": "accent",
    "claim": "warn",
}
_DECLARE = """curl -X POST {api}/deployments -H 'content-type: application/json' -d '{{
  "name": "gpt-oss on two H100", "architecture": "gpt-oss-120b", "accelerator": "h100_sxm",
  "engine": "vllm", "chips": 2, "concurrency": 16, "match_model": "gpt-oss-*", "match_service": "my-agent"}}'
curl -X PUT {api}/deployments/1/rates -H 'content-type: application/json' -d '{{
  "valid_from": "{day}T00:00:00Z", "usd_per_chip_hour": "2.10", "source": "contract 7"}}'
curl -X PUT {api}/deployments/1/capacity -H 'content-type: application/json' -d '[
  {{"hour": "{day}T09:00:00Z", "chip_hours": "2"}}]'"""


def build(view: View) -> Component:
    """Answer, use of the chosen deployment and its cost by phase, all deployments, scenarios."""
    fleet = current_fleet()
    found = list(fleet.deployments(view.project.id, view.period.start, view.period.end)) if fleet is not None else []
    if fleet is None or not found:
        return html.Div([parts.page_header("Hardware", ["No deployment of your own is declared here."]), _teach(view)])
    chosen = next((each for each in found if str(each.deployment_id) == view.get("deployment")), None)
    chosen = chosen or max(found, key=lambda each: each.cost("bill") or Decimal(-1))
    return html.Div(
        [
            parts.page_header(
                "Hardware",
                _sentence(found),
                parts.csv_link(hardware_href(view)),
                parts.copy_link(view.href()),
            ),
            html.Div(
                [
                    parts.safely("Utilisation", view, lambda: _use(view, chosen)),
                    parts.safely("Cost by phase", view, lambda: _phases(chosen)),
                ],
                className="split wide-side",
            ),
            html.Div(parts.safely("Deployments", view, lambda: _deployments(view, found, chosen)), className="grid"),
            *_elsewhere(view, fleet, chosen),
        ]
    )


layout = shell.page(build)


def _sentence(found: Sequence[DeploymentUse]) -> list[Any]:
    bill = data.add(each.cost("bill") for each in found)
    idle = data.add(each.cost("idle_cost") for each in found)
    many = fmt.plural(len(found), "deployment")
    if bill is None:
        return [
            f"{many} declared, but no bill in this period: ",
            parts.strong("enter the chip-hours"),
            " of each hour and what one costs.",
        ]
    calls = sum(each.count("calls") for each in found)
    return [
        f"{many} cost ",
        parts.strong(fmt.money_short(bill), bill),
        ", and ",
        parts.strong(f"{_most(fmt.share_of(idle, bill))} of it is idle", idle),
        f". {fmt.plural(calls, 'call')} shared the rest.",
    ]


def _most(share: Decimal | None) -> str:
    """A share in whole per cent that never says all where something is left."""
    if share is not None and Decimal("0.995") <= share < 1:
        return "more than 99 %"
    return fmt.percent(share, 0)


def _share(share: Decimal | None) -> str:
    """A share that says neither nothing nor all where it is close to one of them."""
    if share is not None and 0 < share < Decimal("0.0005"):
        return "<0.1 %"
    if share is not None and Decimal("0.9995") <= share < 1:
        return ">99.9 %"
    return fmt.percent(share, 1)


def _use(view: View, chosen: DeploymentUse) -> Component:
    colours = hardware_figures.phase_colours(view.theme)
    title = f"Utilisation of {chosen.name}"
    known = [hour for hour in chosen.hours if hour.chip_seconds]
    if not known:
        return parts.card(title, html.P("No capacity was entered for hours of this period.", className="note"))
    used = _share(chosen.utilisation)
    figure = hardware_figures.utilisation(known, view.theme)
    return parts.card(
        title,
        parts.graph(USE, figure, 286, f"Share of chip-hours in use by hour; {used} over the period."),
        subtitle=f"chip-hours by use, {fmt.plural(len(known), 'hour')} with capacity; {used} used",
        end=parts.legend(*((name, colours[name]) for name in ("prefill", "decode", "idle"))),
    )


def _per_million(cost: Decimal | None, tokens: int) -> str:
    return fmt.UNKNOWN if cost is None or not tokens else f"${fmt.significant(cost * PER_MILLION / tokens)}"


def _phases(chosen: DeploymentUse) -> Component:
    bill, idle = chosen.cost("bill"), chosen.cost("idle_cost")
    digits = fmt.digits_for(bill)
    prefill, decode = chosen.cost("prefill_cost"), chosen.cost("decode_cost")
    read, cached = chosen.count("uncached_tokens"), chosen.count("cached_tokens")
    written = chosen.count("generated_tokens")

    def row(name: str, tokens: str, price: str, cost: Decimal | None, extra: str = "") -> html.Tr:
        cells = [
            parts.number(tokens),
            parts.number(price),
            parts.number(fmt.money(cost, digits), fmt.money_exact(cost)),
        ]
        return html.Tr([html.Td(name), *cells], className=extra or None)

    used = None if bill is None or idle is None else bill - idle
    rows = [
        row("Prefill", fmt.tokens(read), _per_million(prefill, read), prefill),
        row("Read from cache", fmt.tokens(cached), fmt.UNKNOWN, None),
        row("Decode", fmt.tokens(written), _per_million(decode, written), decode),
        row("Used", "", "", used),
        row("Idle, kept apart", _share(fmt.share_of(idle, bill)), "", idle),
        row("Capacity bill", "", "", bill, "total"),
    ]
    evidence = next((hour.evidence for hour in chosen.hours if hour.evidence), None)
    problem = next((hour.problem for hour in chosen.hours if hour.problem), None)
    head = [("Phase", False), ("Tokens", True), ("$ / M", True), ("Cost", True)]
    return parts.card(
        "What it costs now",
        parts.table(head, rows, "Cost by phase"),
        html.P([parts.icon("warning"), f" Some calls have no cost: {problem}."], className="note") if problem else None,
        end=_evidence(evidence) if evidence else None,
        foot="Calls and idle add up to the bill exactly. Cached tokens are read from the accelerator's own memory, "
        "which occupies nothing by itself: attending to them is in prefill and decode.",
    )


def _evidence(word: str) -> Component:
    if word.startswith("real tokens"):
        return parts.badge("price list", "ok")
    return parts.badge(word.split(":")[0].replace("_", " "), ROLES.get(word, "warn" if "claim" in word else ""))


def _deployments(view: View, found: Sequence[DeploymentUse], chosen: DeploymentUse) -> Component:
    digits = fmt.digits_for(data.add(each.cost("bill") for each in found))
    rows: list[html.Tr] = []
    short: list[parts.Line] = []
    for each in sorted(found, key=lambda one: -(one.cost("bill") or Decimal(0))):
        bill, idle = each.cost("bill"), each.cost("idle_cost")
        href = view.href(deployment=str(each.deployment_id))
        badges = [parts.badge("announced", "warn")] if each.announced else []
        badges += [parts.badge("retired")] if each.retired else []
        machine = f"{each.chips} × {each.accelerator}, {each.architecture} in {each.precision}"
        prefill = _per_million(each.cost("prefill_cost"), each.count("uncached_tokens"))
        decode = _per_million(each.cost("decode_cost"), each.count("generated_tokens"))
        share, used = _share(fmt.share_of(idle, bill)), _share(each.utilisation)
        rate = fmt.UNKNOWN if each.usd_per_chip_hour is None else fmt.rate(each.usd_per_chip_hour)
        rows.append(
            html.Tr(
                [
                    html.Td([dcc.Link(each.name, href=href, className="strong"), *badges], className="name-cell"),
                    html.Td(machine),
                    parts.number(rate),
                    parts.number(fmt.count(each.count("calls"))),
                    parts.number(used),
                    parts.number(prefill),
                    parts.number(decode),
                    parts.number(fmt.money(idle, digits), fmt.money_exact(idle)),
                    parts.number(fmt.money(bill, digits), fmt.money_exact(bill)),
                ],
                className="chosen" if each is chosen and len(found) > 1 else None,
            )
        )
        short.append(
            parts.Line(
                each.name,
                fmt.money(bill, digits),
                f"{machine} · {used} used · {share} idle · prefill {prefill}, decode {decode} a million",
                href,
                chosen=each is chosen and len(found) > 1,
            )
        )
    head = [
        ("Deployment", False), ("Machine", False), ("$ / chip-h", True), ("Calls", True), ("Used", True),
        ("Prefill $ / M", True), ("Decode $ / M", True), ("Idle", True), ("Bill", True),
    ]  # fmt: skip
    return parts.card(
        "Deployments",
        parts.table(head, rows, "Deployments", "hide-narrow"),
        parts.lines(short),
        subtitle="an hour is shared when it is over; a late call shares its hour again",
    )


def _assumptions(view: View, chosen: DeploymentUse) -> Assumptions:
    """What the address says, else what the deployment has.

    Raises   BadInput naming the parameter.
    """

    def decimal(name: str, least: Decimal, most: Decimal) -> Decimal | None:
        text = view.get(name)
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or not least <= value <= most:
            raise BadInput(f"{name}={text}: write a number from {least} to {most}.")
        return value

    load = decimal("concurrency", Decimal(1), Decimal(1_000_000))
    share = decimal("utilisation", Decimal(1), Decimal(100))
    top = Decimal(1_000_000)
    return Assumptions(
        model=view.get("model") or chosen.architecture,
        precision=chosen.precision,
        concurrency=chosen.concurrency if load is None else int(load),
        utilisation=Decimal("0.6") if share is None else share / 100,
        gpu=chosen.accelerator if chosen.accelerator.endswith("sxm") else "h200_sxm",
        gpu_chips=chosen.chips,
        gpu_price=decimal("gpu", Decimal(0), top) or chosen.usd_per_chip_hour,
        lpu_price=decimal("lpu", Decimal(0), top),
        wafer_price=decimal("wafer", Decimal(0), top),
    )


def _elsewhere(view: View, fleet: Fleet, chosen: DeploymentUse) -> list[Component]:
    calls = chosen.count("calls")
    if not calls:
        return []
    if calls > MOST_REPLAYED and view.get("replay") != "1":
        ask = dcc.Link(f"Replay {fmt.count(calls)} calls", href=view.href(replay="1"), className="button main")
        return [html.Div(parts.card("What the same calls would cost elsewhere", ask), className="grid")]
    wanted = _assumptions(view, chosen)
    query = view.costs(only=(("deployment", chosen.name),))
    replays = list(fleet.replays(replace(query, limit=1), wanted))
    idle = chosen.cost("idle_cost") or Decimal(0)
    return [
        html.Div(
            [
                parts.safely("Elsewhere", view, lambda: _bars(view, replays, idle)),
                parts.safely("Assumptions", view, lambda: _form(view, fleet, wanted, chosen)),
            ],
            className="split",
        ),
        html.Div(parts.safely("Scenarios", view, lambda: _scenarios(replays)), className="grid"),
    ]


def _bars(view: View, replays: Sequence[Replay], idle: Decimal) -> Component:
    colours = hardware_figures.phase_colours(view.theme)
    shown = [each for each in replays if each.cost is not None]
    replayed = max((each.calls for each in shown), default=0)
    drawn = idle if idle <= 4 * max((each.cost or Decimal(0) for each in shown), default=Decimal(0)) else None
    figure = hardware_figures.scenarios(replays, drawn or Decimal(0), view.theme)
    names = ("prefill", "decode", "idle") if drawn else ("prefill", "decode")
    said = ", ".join(f"{each.name} {fmt.money_short(each.cost)}" for each in shown)
    return parts.card(
        "What the same calls would cost elsewhere",
        parts.graph(BARS, figure, 44 * max(len(shown), 2) + 40, f"Cost by scenario: {said}."),
        subtitle=f"{fmt.plural(replayed, 'call')} replayed; whiskers: error band, dashed: their cost today",
        end=parts.legend(*((name, colours[name]) for name in names)),
        foot=None
        if drawn or not idle
        else f"Idle time of the deployment, {fmt.money_short(idle)}, would dwarf the bars and is not drawn.",
    )


def _form(view: View, fleet: Fleet, wanted: Assumptions, chosen: DeploymentUse) -> Component:
    """A plain form: its fields become the address, so that every answer can be linked."""
    own = {"model", "concurrency", "utilisation", "gpu", "lpu", "wafer"}
    kept = [(name, value) for name, values in view.query.items() if name not in own for value in values]

    def shown(price: Decimal | None) -> str:
        return "" if price is None else format(price.normalize(), "f")

    def field(name: str, label: str, value: str, unit: str, placeholder: str = "") -> Component:
        entry = dcc.Input(
            id=f"hardware-{name}", name=name, value=value, type="text", inputMode="numeric", placeholder=placeholder
        )
        return html.Div(
            [html.Label(label, htmlFor=f"hardware-{name}"), html.Span([entry, html.Span(unit, className="quiet")])]
        )

    models = [
        dcc.Input(id="hardware-model", name="model", value=wanted.model, type="text", list="hardware-models"),
        html.Datalist([html.Option(value=name) for name in fleet.models()], id="hardware-models"),
    ]
    return parts.card(
        "Assumptions",
        html.Form(
            [
                *(_hidden(name, value) for name, value in kept),
                html.Div([html.Label("Model", htmlFor="hardware-model"), html.Span(models)]),
                field("concurrency", "Calls at a time", str(wanted.concurrency), "a replica"),
                field("utilisation", "Occupied time", shown(wanted.utilisation * 100), "%"),
                field("gpu", wanted.gpu, shown(wanted.gpu_price), "$ / chip-h"),
                field("lpu", "groq_lpu_v1", shown(wanted.lpu_price), "$ / chip-h", "unpublished"),
                field("wafer", "cerebras_wse3", shown(wanted.wafer_price), "$ / system-h", "catalogue"),
                html.Button("Recalculate", type="submit", className="button main"),
            ],
            method="get",
            action=PATH,
            className="assumptions",
        ),
        subtitle="change one, the bands follow",
        foot=f"Weights in {wanted.precision}, KV cache in BF16, replicas of the fewest chips that hold the model. "
        "Scenarios are never booked.",
    )


def _hidden(name: str, value: str) -> Component:
    kind: Any = "hidden"  # dash names only the visible kinds in its annotation
    return dcc.Input(type=kind, name=name, value=value)


def _scenarios(replays: Sequence[Replay]) -> Component:
    present = next((each for each in replays if each.key == "same"), None)
    actual = present.cost if present is not None else None
    digits = fmt.digits_for(actual)
    rows: list[html.Tr] = []
    short: list[parts.Line] = []
    for each in replays:
        badges = [parts.badge("announced", "warn")] if each.announced else []
        if each.cost is None:
            why = each.fault or "no call of the period can be priced this way"
            rows.append(
                html.Tr(
                    [html.Td([each.name, *badges], className="name-cell"), html.Td(f"Not answered: {why}.", colSpan=4)]
                )
            )
            short.append(parts.Line(each.name, fmt.UNKNOWN, f"not answered: {why}"))
            continue
        exact = each.low == each.high
        band = "exact" if exact else f"{fmt.money(each.low, digits)} – {fmt.money(each.high, digits)}"
        change = fmt.UNKNOWN if each is present else fmt.money_change(each.cost, each.actual, digits)
        tone = "" if each is present else parts.change_class(each.cost, each.actual)
        left = f" {fmt.plural(each.left_out, 'call')} left out" if each.left_out else ""
        rows.append(
            html.Tr(
                [
                    html.Td(
                        [
                            html.Span([each.name, *badges], className="name-cell"),
                            html.Details(
                                [html.Summary(f"assumptions{left and ','}{left}"), *map(html.Div, each.assumptions)],
                                className="card-sub",
                            ),
                        ]
                    ),
                    parts.number(fmt.money(each.cost, digits), fmt.money_exact(each.cost)),
                    parts.number(band),
                    parts.number(change, "against what these calls cost now, without idle", tone),
                    html.Td(_evidence(each.evidence)),
                ]
            )
        )
        short.append(
            parts.Line(
                each.name,
                fmt.money(each.cost, digits),
                f"{band} · {change} · {each.evidence.split(':')[0]}{left and ','}{left}",
            )
        )
    head = [("Scenario", False), ("Cost", True), ("Band", True), ("vs today", True), ("Evidence", False)]
    return parts.card(
        "Scenarios",
        parts.table(head, rows, "Scenarios", "scenarios hide-narrow"),
        parts.lines(short),
        foot="The same scenarios from a file: jevons whatif SCENARIO.toml",
    )


def _teach(view: View) -> Component:
    declare = _DECLARE.format(api="http://127.0.0.1:4318/api/v1", day=f"{view.now:%Y-%m-%d}")
    demo = next((one for one in view.projects if one.is_demo and one.id != view.project.id and one.last_charge), None)
    link = (
        dcc.Link(
            "Open the sample", href=view.href(PATH, project=demo.name, period=None, filter=None), className="button"
        )
        if demo is not None
        else None
    )
    return html.Div(
        parts.card(
            "Declare what you serve models on",
            html.P("A deployment says which calls it serves; its chip-hours and their price are the bill they share:"),
            dmc.CodeHighlight(code=declare, language="bash", copyLabel="Copy", copiedLabel="Copied"),
            html.Div([link], className="chips") if link is not None else None,
            subtitle="calls that match it get their cost from the bill of their hour; the list price stays beside it",
            foot="Ids of accelerators and models: jevons hardware, or GET /api/v1/hardware",
        ),
        className="teach",
    )


def register(app: Dash) -> None:
    """Nothing to register: every choice is a link, the assumptions are a form that becomes one."""
    del app
