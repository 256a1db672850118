"""Spend curves: why the bill moved, and whether the saving from a cheaper price came or was spent."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import curve_downloads, curve_figures, curves, data, meters, parts, sample_tour, shell
from dashboards import format as fmt
from dashboards.curve_figures import signed
from dashboards.identity import colour, places
from dashboards.view import View
from models.core.errors import BadInput
from models.costs.decomposition import FACTORS, CellEffects
from models.costs.displayed import shown_parts
from models.costs.index import IndexPoint
from models.costs.outlook import rebound_of
from models.costs.questions import Bridge
from models.costs.wording import UP_AND_DOWN

PATH = "/spend-curves"
TITLE = "Spend curves · Jevons"
PICTURE, WATERFALL, TASK, AHEAD = "curves-picture", "curves-waterfall", "curves-task", "curves-ahead"
CELLS = (("Agent × model", "agent-model"), ("Team", "team"), ("Model", "model"))
EFFECTS = {
    "activity": "activity",
    "mix": "agent & model mix",
    "calls_per_task": "calls per task",
    "context_size": "context size",
    "bucket_mix": "cache & reasoning",
    "unit_price": "unit price",
}
MOST_CELLS = 6
MEANT = {
    "activity": "more or fewer tasks",
    "mix": "which agents and models did the work",
    "calls_per_task": "retries, fan-out, loops",
    "context_size": "tokens per call",
    "bucket_mix": "how much was read from the cache, written, or thought",
    "unit_price": "what a token costs",
}


def build(view: View) -> Component:
    """Answer, the picture, the waterfall, what it rests on, and the cells behind a bar."""
    totals = data.whole(view.costs()).totals
    if not totals.calls:
        return html.Div([parts.page_header("Spend curves", ["Nothing was spent here yet."]), parts.teach(view)])
    cells = view.get("cells", "agent-model")
    cells = cells if cells in curves.CELLS else "agent-model"
    found = curves.bridge(view, cells)
    points = curves.index(view)
    return html.Div(
        [
            parts.page_header(
                "Spend curves",
                _sentence(view, found, points),
                parts.csv_link(
                    curve_downloads.decomposition_href(view, cells)
                    if found is not None
                    else curve_downloads.index_href(view)
                ),
                parts.copy_link(view.href()),
            ),
            sample_tour.price_cut(view),
            html.Div(
                [
                    html.Div(parts.safely("Picture", view, lambda: _picture(view, points)), className="w5"),
                    html.Div(parts.safely("Waterfall", view, lambda: _waterfall(view, found, cells)), className="w7"),
                ],
                className="grid",
            ),
            html.Div(
                [
                    html.Div(parts.safely("Price per task", view, lambda: _per_task(view, points)), className="w4"),
                    html.Div(parts.safely("Rebound", view, lambda: _rebound(view, points)), className="w4"),
                    html.Div(parts.safely("Forecast", view, lambda: _ahead(view)), className="w4"),
                ],
                className="grid",
            ),
            html.Div(
                [
                    html.Div(parts.safely("In words", view, lambda: _words(view, found)), className="w5"),
                    html.Div(parts.safely("Cells", view, lambda: _cells(view, found, cells)), className="w7"),
                ],
                className="grid",
            )
            if found is not None
            else None,
        ]
    )


layout = shell.page(build)


def _digits(found: Bridge) -> int:
    return fmt.digits_for(max(abs(found.found.base), abs(found.found.current)))


def _shown(found: Bridge) -> dict[str, Decimal]:
    return shown_parts({name: found.found.effects[name] for name in FACTORS}, _digits(found))


def _price_change(view: View, points: Sequence[IndexPoint]) -> Decimal | None:
    """Share by which the price index moved between two whole months; None for other periods and broken chains."""
    if view.compare is None or not view.compare.is_month or not view.period.is_month:
        return None
    at = {point.label: point for point in points}
    before, after = at.get(view.compare.text), at.get(view.period.text)
    if before is None or after is None or before.chain != after.chain:
        return None
    return after.price_index / before.price_index - 1


def _sentence(view: View, found: Bridge | None, points: Sequence[IndexPoint]) -> list[Any]:
    if found is None or view.compare is None:
        return ["Choose a period to compare with, and the change of the bill is taken apart here."]
    bill = found.found
    if not bill.base:
        return [
            f"There is no spend in {view.compare.label()} to compare with: all of ",
            parts.strong(fmt.money_short(bill.current), bill.current),
            " is new activity.",
        ]
    share = bill.change / bill.base
    moved = "rose" if bill.change > 0 else "fell" if bill.change < 0 else "did not move"
    price = _price_change(view, points)
    prices = f"Prices {'fell' if price < 0 else 'rose'} {fmt.percent(abs(price))} and the bill " if price else "It "
    words: list[Any] = [
        "Why did the bill move? ",
        parts.strong(f"{prices}{moved} {fmt.percent(abs(share))}" if bill.change else f"{prices}{moved}", bill.change),
        f" against {view.compare.label(False)}",
    ]
    up = sorted((name for name in FACTORS if bill.effects[name] > 0), key=lambda name: -bill.effects[name])
    down = sorted((name for name in FACTORS if bill.effects[name] < 0), key=lambda name: bill.effects[name])
    told = [f"{UP_AND_DOWN[name][0]}" for name in up[:2]]
    saved = [f"{UP_AND_DOWN[name][1]}" for name in down[:2]]
    if told:
        added = sum((bill.effects[name] for name in up), Decimal(0))
        words += [": ", " and ".join(told), " added most of ", parts.strong(fmt.money_short(added), added)]
    if saved:
        less = -sum((bill.effects[name] for name in down), Decimal(0))
        words += ["; " if told else ": ", " and ".join(saved), " saved most of "]
        words += [parts.strong(fmt.money_short(less), less)]
    words.append(".")
    return words


def _picture(view: View, points: Sequence[IndexPoint]) -> Component:
    log = view.get("scale", "log") != "linear"
    choices = [("Log", view.href(scale=None), log), ("Linear", view.href(scale="linear"), not log)]
    first, chain = points[0], curve_figures.told_chain(points)
    head, last = chain[0], chain[-1]
    broken = any(point.chain != head.chain for point in points)
    figure = curve_figures.jevons_picture(points, log, view.theme)
    said = (
        f"{_month(head.label)} to {_month(last.label)}: price {last.price_index:.0f}, "
        f"volume {last.volume_index:.0f}, bill {last.bill_index:.0f}, from 100."
    )
    note = next((point.note for point in reversed(points) if point.note), None)
    title = "Price, volume and bill"
    if last.price_index < 97 and last.volume_index > 103:
        title = "Price falls, volume rises, the bill is between"
    return parts.card(
        title,
        parts.graph(PICTURE, figure, 300, f"{said} {len(points)} months from {_month(first.label)}."),
        subtitle=("each line starts at 100" if broken else f"{_month(head.label)} = 100")
        + ", chained Fisher index by month"
        + ("; the running month counts to now" if view.is_open else ""),
        end=parts.segments("Scale", choices),
        foot=note,
    )


def _month(label: str) -> str:
    return curve_figures.month_label(label, True).replace("<br>", " ")


def _waterfall(view: View, found: Bridge | None, cells: str) -> Component:
    if found is None or view.compare is None:
        choose = dcc.Link("Compare with the period before", href=view.href(compare="previous"), className="button")
        return parts.card("Why the bill moved", html.P("There is nothing to compare with.", className="note"), choose)
    digits, shown = _digits(found), _shown(found)
    bill = found.found
    figure = curve_figures.waterfall(
        shown, (view.compare.label(False), bill.base), (view.period.label(False), bill.current), view.theme, digits
    )
    change = sum(shown.values(), Decimal(0))
    told = ", ".join(f"{EFFECTS[name]} {signed(amount, digits)}" for name, amount in shown.items())
    choices = [(name, view.href(cells=None if key == CELLS[0][1] else key), key == cells) for name, key in CELLS]
    return parts.card(
        f"Why the bill moved: {signed(change, digits)}",
        html.Div(
            parts.graph(WATERFALL, figure, 300, f"Effects: {told}. Together {signed(change, digits)}."),
            className="hide-narrow",
        ),
        html.Div(told + f"; together {signed(change, digits)}", className="waterfall-words unseen"),
        _steps(view, found, shown, digits),
        subtitle="six effects that add up exactly; click a bar for its cells",
        end=parts.segments("Cells", choices),
    )


def _steps(view: View, found: Bridge, shown: Mapping[str, Decimal], digits: int) -> Component:
    """The waterfall on a phone: from the old bill to the new one, a line each."""
    before = view.compare.label() if view.compare else ""
    change = sum(shown.values(), Decimal(0))
    rows = [parts.Line(before, fmt.money(found.found.base, digits), bold=True)]
    for name, amount in shown.items():
        rows.append(parts.Line(EFFECTS[name].capitalize(), signed(amount, digits), MEANT[name], view.href(effect=name)))
    rows.append(parts.Line("Change", signed(change, digits), bold=True))
    rows.append(parts.Line(view.period.label(), fmt.money(found.found.current, digits), bold=True))
    return parts.lines(rows)


def _per_task(view: View, points: Sequence[IndexPoint]) -> Component:
    known = [point for point in points if point.price_per_task is not None]
    if not known:
        return parts.card(
            "Price per task",
            html.P(
                ["No call names its task. Set ", html.Code("task.id", className="mono"), " on a span of each task."],
                className="quiet-inbox",
            ),
            subtitle="what a user gets for the money",
        )
    figure = curve_figures.price_per_task(points, view.theme)
    first, last = known[0], known[-1]
    change = fmt.percent_change(last.price_per_task, first.price_per_task)
    moved = f"{change} since {_month(first.label)}" if len(known) > 1 else f"only {_month(first.label)} has tasks"
    if first.chain != last.chain:
        moved += ", other models"
    faster = ""
    if len(known) > 1 and first.chain == last.chain and first.price_per_task and last.price_per_task:
        tasks, tokens = last.price_per_task / first.price_per_task, last.price_index / first.price_index
        if tasks > tokens * Decimal("1.02"):
            faster = "Falls slower than the price of tokens: a task takes more of them."
        elif tasks < tokens * Decimal("0.98"):
            faster = "Falls faster than the price of tokens: a task takes fewer or cheaper ones."
    return parts.card(
        "Price per task",
        parts.graph(TASK, figure, 190, f"Price per task: {moved}."),
        subtitle=moved,
        end=parts.csv_link(curve_downloads.index_href(view)),
        foot=faster or "It sees a move to a cheaper model, which a price index of matched models cannot.",
    )


def _rebound(view: View, points: Sequence[IndexPoint]) -> Component:
    report = rebound_of(points)
    slope = curves.elasticity(view)
    head: Any = None
    rows: list[tuple[str, Any]] = []
    words: list[Any] = []
    badge = None
    period = ""
    if report is None:
        words.append("It takes two months that share a price to compare what a saving promised with what came. ")
    else:
        found = report.found
        period = f"{_month(report.first.label)} to {_month(report.last.label)}"
        fell = report.price_change < 0
        if found.backfire:
            badge = parts.badge("Backfire", "warn")
        if fell and found.rebound is not None:
            head = html.Div([html.Span(fmt.percent(found.rebound, 0), className="large"), " of the saving was spent"])
            words.append(
                "Over 100 %: the price fell and the bill rose, Jevons' case. "
                if found.backfire
                else "Under 100 %: some of the saving stayed. "
                if found.rebound > 0
                else "More was saved than the prices promised: demand shrank. "
            )
        else:
            head = html.Div([html.Span(fmt.UNKNOWN, className="large"), " prices did not fall"])
        rows = [
            ("Price index", fmt.percent_change(report.last.price_index, report.first.price_index)),
            ("Expected saving at old volume", _exact_money(found.expected_saving)),
            ("Actual saving", _exact_money(found.actual_saving)),
        ]
        if report.break_even_volume is not None:
            rows.append(("Break-even volume", f"{report.break_even_volume:.2f}×"))
    if slope.elasticity is not None and slope.low is not None and slope.high is not None:
        told = f"{_number(slope.elasticity)} [{_number(slope.low)}, {_number(slope.high)}]"
        rows.append(("Elasticity ε of volume to price", told))
        meter = meters.interval(slope.low, slope.elasticity, slope.high, -1.0, "ε = −1: saving eaten")
        sure = {
            True: "ε below −1 over the whole 95 % interval: demand grew faster than prices fell.",
            False: "ε above −1 over the whole 95 % interval: part of each saving stayed.",
            None: "The 95 % interval has −1 inside: it may be either.",
        }[slope.jevons]
        words.append(f"{sure} {slope.price_changes} price changes.")
    else:
        meter = None
        rows.append(("Elasticity ε of volume to price", "not enough price changes"))
        words.append(slope.reason or "")
    return parts.card(
        "Rebound",
        head,
        meter,
        html.Hr(className="rule"),
        parts.facts(*rows),
        subtitle=period or "did demand eat the saving?",
        end=badge,
        foot=words,
    )


def _exact_money(amount: Decimal) -> Component:
    return parts.exact(fmt.money(amount, fmt.digits_for(amount)), amount)


def _number(value: float) -> str:
    return f"{fmt.MINUS if value < 0 else ''}{abs(value):.2f}"


def _ahead(view: View) -> Component:
    try:
        found = curves.ahead(view)
    except BadInput as fault:
        return parts.card(
            "Forecast, 90 days",
            html.P(str(fault), className="quiet-inbox"),
            subtitle="spend a day, with 80 and 95 % bands",
        )
    total, test = found.quarter.total, found.quarter.back_test
    figure = curve_figures.forecast(found, view.theme)
    said = f"{_dollars(total.middle)} in 90 days, 80 %: {_dollars(total.low_80)} to {_dollars(total.high_80)}."
    month = found.month_end
    proof = (
        f" Back-test on your own history: median error {test.median_error * 100:.1f} %, "
        f"{test.covered_80} of {test.origins} in their 80 % interval."
        if test.median_error is not None
        else " The history is too short for a back-test."
    )
    note = f" {found.quarter.note}" if found.quarter.note else ""
    return parts.card(
        "Forecast, 90 days",
        parts.graph(AHEAD, figure, 190, said),
        subtitle=f"mean spend a day, by week; {view.now:%B} ends at {_dollars(month.middle)} "
        f"(80 %: {_dollars(month.low_80)} to {_dollars(month.high_80)})",
        foot=f"{said}{proof}{note}",
    )


def _dollars(amount: float) -> str:
    return fmt.money_short(Decimal(str(round(amount, 2))))


def _words(view: View, found: Bridge | None) -> Component:
    if found is None or view.compare is None:
        return parts.card("In words")
    bill, shown, digits = found.found, _shown(found), _digits(found)
    change = sum(shown.values(), Decimal(0))
    compared = "more" if change >= 0 else "less"
    words: list[Any] = [f"{view.period.label()} cost ", html.B(f"${abs(change):,.{digits}f} {compared}")]
    words.append(f" than {view.compare.label()}. ")
    up = sorted((name for name in FACTORS if shown[name] > 0), key=lambda name: -shown[name])
    down = sorted((name for name in FACTORS if shown[name] < 0), key=lambda name: shown[name])
    for names, verb, column in ((down, "saved", 1), (up, "added", 0)):
        told = [[f"{UP_AND_DOWN[name][column]} {verb} ", html.B(f"${abs(shown[name]):,.{digits}f}")] for name in names]
        for at, pair in enumerate(told):
            first = str(pair[0])
            words += [first[0].upper() + first[1:] if not at else first, pair[1]]
            words.append(". " if at == len(told) - 1 else " and " if at == len(told) - 2 else ", ")
    pairs: list[tuple[str, Any]] = [
        ("Method", "LMDI-I, additive"),
        ("Cells", f"{len(bill.cells):,}, {sum(not cell.base for cell in bill.cells):,} new"),
        ("Activity is counted in", found.activity),
        ("Unexplained", "$0.00"),
    ]
    if found.unpriced_tokens:
        pairs.append(("Left out, without a price", f"{fmt.tokens(found.unpriced_tokens)} tokens"))
    return parts.card(
        "In words",
        html.P(words, className="words"),
        html.Hr(className="rule"),
        parts.facts(*pairs),
        end=parts.copy_link(view.href()),
    )


def _cells(view: View, found: Bridge | None, cells: str) -> Component:
    if found is None or view.compare is None:
        return parts.card("Cells")
    bill, digits = found.found, _digits(found)
    effect = view.get("effect")
    if effect not in EFFECTS:
        effect = max(FACTORS, key=lambda name: abs(bill.effects[name]))
    ordered = sorted(bill.cells, key=lambda cell: -abs(cell.effects[effect]))
    named, rest = [cell for cell in ordered[:MOST_CELLS] if cell.effects[effect]], ordered[MOST_CELLS:]
    amounts: dict[Any, Decimal] = {cell.key: cell.effects[effect] for cell in named}
    others = sum((cell.effects[effect] for cell in rest), Decimal(0))
    if rest:
        amounts[None] = others
    # The rows add up to the bar as it is drawn.
    total = _shown(found)[effect]
    shown = shown_parts(amounts, digits) if amounts else {}
    drift = total - sum(shown.values(), Decimal(0))
    if drift and shown:
        shown[None if rest else named[0].key] += drift
    model = curves.CELLS[cells].index("model") if "model" in curves.CELLS[cells] else None
    known = places(view.project, "model") if model is not None else {}
    rows = [_cell_row(view, cell, cell.effects[effect], shown[cell.key], digits, cells, model, known) for cell in named]
    if rest:
        rows.append(
            html.Tr(
                [
                    html.Td(fmt.plural(len(rest), "more cell"), className="name"),
                    parts.number(fmt.money(sum((cell.base for cell in rest), Decimal(0)), digits)),
                    parts.number(fmt.money(sum((cell.current for cell in rest), Decimal(0)), digits)),
                    parts.number(signed(shown[None], digits), fmt.money_exact(others), _tone(shown[None])),
                ]
            )
        )
    rows.append(
        html.Tr(
            [
                html.Td("Sum"),
                parts.number(fmt.money(bill.base, digits), fmt.money_exact(bill.base)),
                parts.number(fmt.money(bill.current, digits), fmt.money_exact(bill.current)),
                parts.number(signed(total, digits), fmt.money_exact(bill.effects[effect])),
            ],
            className="total",
        )
    )
    head = [
        ({key: name for name, key in CELLS}[cells], False), (view.compare.label(False), True),
        (view.period.label(False), True), ("Effect", True),
    ]  # fmt: skip
    choices = [(EFFECTS[name].capitalize(), view.href(effect=name), name == effect) for name in FACTORS]
    return parts.card(
        f"What made “{EFFECTS[effect]}”: {signed(total, digits)}",
        html.Div(parts.segments("Effect", choices), className="effects"),
        parts.table(head, rows, f"Cells of {EFFECTS[effect]}"),
        subtitle=f"{MEANT[effect]}; click another bar to change",
        end=parts.csv_link(curve_downloads.decomposition_href(view, cells)),
    )


def _tone(amount: Decimal) -> str:
    return "up" if amount > 0 else "down" if amount < 0 else ""


def _cell_row(
    view: View,
    cell: CellEffects,
    exact: Decimal,
    shown: Decimal,
    digits: int,
    cells: str,
    model: int | None,
    known: Mapping[str, int],
) -> html.Tr:
    names = curves.CELLS[cells]
    words = " × ".join(part if part is not None else f"no {name}" for name, part in zip(names, cell.key, strict=True))
    mark = cell.key[model] if model is not None else None
    to = view.with_filter(*zip(names, cell.key, strict=True), path="/calls")
    return html.Tr(
        [
            html.Td(
                [
                    parts.swatch(colour(known.get(mark) if mark else None, view.theme)) if model is not None else None,
                    dcc.Link(words, href=to, title=words),
                ],
                className="name",
            ),
            parts.number(fmt.money(cell.base, digits), fmt.money_exact(cell.base)),
            parts.number(fmt.money(cell.current, digits), fmt.money_exact(cell.current)),
            parts.number(signed(shown, digits), fmt.money_exact(exact), _tone(shown)),
        ]
    )


def register(app: Dash) -> None:
    """A click on a bar shows the cells that made it."""

    @app.callback(
        Output(shell.LOCATION, "href", allow_duplicate=True),
        Input(WATERFALL, "clickData"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    def drill(click: dict[str, Any] | None, href: str) -> str:
        effect = click["points"][0]["customdata"][0] if click else None
        if effect not in EFFECTS:
            raise PreventUpdate
        return shell.current_view(href).href(effect=effect)
