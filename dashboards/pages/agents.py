"""Agents: which agents cost what, themselves and with all they call."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from dash import Dash, Input, Output, State, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import data, figures, grids, parts, shell
from dashboards import format as fmt
from dashboards.agent_tree import Agent, tree
from dashboards.downloads import costs_href
from dashboards.identity import places
from dashboards.view import View
from dashboards.waste import waste_by_path
from models.core.queries import CostRow
from models.core.vocabulary import Granularity

PATH = "/agents"
TITLE = "Agents · Jevons"
GRID, ICICLE = "agents-grid", "agents-icicle"
NAMELESS = "no agent attribute"
MOST_QUESTIONS = 16
"""Agents with sub-agents for which tasks of the whole subtree are counted; each is one question to the store."""
DRILLS = ("inclusive", "own", "tasks", "per_task", "calls_per_task", "hit", "errors", "waste")


def build(view: View) -> Component:
    """Answer, tree table, icicle."""
    answer = data.whole(view.costs("agent_path"))
    totals = answer.totals
    if not totals.calls:
        return html.Div([parts.page_header("Agents", ["No agent called a model here yet."]), parts.teach(view)])
    roots = tree(answer.rows, view.basis)
    lost = waste_by_path(view, [agent.path for root in roots for agent in root.below()])
    nameless = next((row for row in answer.rows if row.keys.get("agent_path") is None), None)
    return html.Div(
        [
            parts.page_header(
                "Agents",
                _sentence(view, roots, nameless, totals, lost),
                parts.csv_link(costs_href(view, "agent_path", granularity=Granularity.NONE)),
                parts.copy_link(view.href()),
            ),
            html.Div(
                parts.safely("Agents", view, lambda: _table(view, roots, nameless, totals, lost)), className="grid"
            ),
            html.Div(
                parts.safely("Where the money sits", view, lambda: _icicle(view, roots, nameless, totals)),
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _wasted(agent: Agent, lost: Mapping[str, Decimal] | None) -> Decimal | None:
    """What loops of an agent and of all under it wasted; None where it is unknown."""
    return None if lost is None else sum((lost[one.path] for one in agent.below() if one.path in lost), Decimal(0))


def _sentence(
    view: View,
    roots: Sequence[Agent],
    nameless: CostRow | None,
    totals: CostRow,
    wasted: Mapping[str, Decimal] | None,
) -> list[Any]:
    spend = totals.cost(view.basis)
    if not roots:
        return ["No span names its agent: set ", parts.strong("gen_ai.agent.name"), " to split this spend."]
    first = roots[0]
    words: list[Any] = [
        parts.strong(
            f"{first.name}{' and its sub-agents are' if first.children else ' is'} "
            f"{fmt.percent(fmt.share_of(first.inclusive, spend), 0)} of spend",
            first.inclusive,
        )
    ]
    inner = max(
        (agent for agent in first.below() if agent.depth),
        key=lambda agent: agent.inclusive or Decimal(0),
        default=None,
    )
    if inner is not None:
        words += [f"; {inner.name} under it is ", parts.strong(fmt.money_short(inner.inclusive), inner.inclusive)]
    words.append(".")
    worst = max(roots, key=lambda root: _wasted(root, wasted) or Decimal(0))
    gone = _wasted(worst, wasted)
    if gone:
        share = fmt.percent(fmt.share_of(gone, worst.inclusive), 0)
        words += [" ", parts.strong(f"{worst.name} wastes {share}", gone), " of what it spends in loops."]
    lost = nameless.cost(view.basis) if nameless is not None else None
    if lost:
        share = fmt.percent(fmt.share_of(lost, spend), 1)
        words += [" ", parts.strong(fmt.money_short(lost), lost), f" ({share}) has no agent attribute."]
    return words


def _table(
    view: View,
    roots: Sequence[Agent],
    nameless: CostRow | None,
    totals: CostRow,
    lost: Mapping[str, Decimal] | None,
) -> Component:
    flat = view.get("shape", "tree") == "flat"
    parents_only = view.get("show") == "parents"
    closed = set(view.query.get("closed", ()))
    shown = [root for root in roots if root.children] if parents_only else list(roots)
    teams = _teams(view)
    parents = [agent for root in shown for agent in root.below() if agent.children]
    # Beyond the limit a parent's tasks are unknown: its own are too few, and a sum counts shared ones twice.
    tasks = {
        agent.path: _tasks_of(view, agent) if at < MOST_QUESTIONS else None for at, agent in enumerate(parents)
    } | {agent.path: agent.row.tasks for root in shown for agent in root.below() if not agent.children and agent.row}
    most = max((root.inclusive or Decimal(0) for root in roots), default=Decimal(0))
    digits = fmt.digits_for(totals.cost(view.basis))

    def walk(agents: Sequence[Agent]) -> list[Agent]:
        found: list[Agent] = []
        for agent in agents:
            found.append(agent)
            if agent.path not in closed:
                found += walk(agent.children)
        return found

    visible = [agent for root in shown for agent in root.below()] if flat else walk(shown)
    rows = [
        _row(view, agent, teams.get(agent.path), tasks.get(agent.path), most, digits, agent.path in closed, flat)
        | _waste(agent, _wasted(agent, lost))
        for agent in visible
    ]
    if nameless is not None and not parents_only:
        own = Agent("", 0, nameless, own=nameless.cost(view.basis), inclusive=nameless.cost(view.basis))
        rows.append(
            {
                **_row(view, own, teams.get(None), nameless.tasks, most, digits, False, flat),
                **_waste(own, _wasted(own, lost)),
                "id": "\0",
                "agent": NAMELESS,
            }
        )
    whole = Agent("", 0, totals, own=totals.cost(view.basis), inclusive=totals.cost(view.basis))
    total = _row(view, whole, None, _tasks_of(view), Decimal(0), digits, False, False)
    total.update(_waste(whole, None if lost is None else sum(lost.values(), Decimal(0))))
    total.update(id="total", agent="Total", team="")
    columns = [
        grids.text_column(
            "agent",
            "Agent",
            minWidth=172,
            flex=2,
            cellClass="strong-parent",
            tooltipField="path",
            valueFormatter={"function": "params.data.caret + params.data.agent"},
            cellStyle={
                "function": "({paddingLeft: (10 + 20 * params.data.depth) + 'px', fontWeight: params.data.weight,"
                " cursor: params.data.caret ? 'pointer' : 'default'})"
            },
        ),
        grids.text_column("team", "Team", minWidth=84, flex=1),
        grids.number_column(
            "inclusive", "Inclusive", True, minWidth=118, flex=1.3, sortable=flat, cellStyle=grids.bar_style("bar")
        ),
        grids.number_column("own", "Self", True, minWidth=104, flex=1, sortable=flat),
        grids.number_column("tasks", "Tasks", True, minWidth=74, flex=0.8, sortable=flat),
        grids.number_column("per_task", "$ / task", True, minWidth=84, flex=0.8, sortable=flat),
        grids.number_column("calls_per_task", "Calls / task", True, minWidth=92, flex=0.8, sortable=flat),
        grids.number_column("hit", "Cache hit", True, minWidth=96, flex=0.9, sortable=flat),
        grids.number_column("errors", "Errors", True, minWidth=76, flex=0.8, sortable=flat),
        grids.number_column(
            "waste", "Waste", True, minWidth=84, flex=0.8, sortable=flat, cellStyle=grids.bar_style("waste_bar")
        ),
    ]
    agents = sum(1 for root in roots for _ in root.below())
    bar = html.Div(
        [
            parts.segments(
                "Shape", [("Tree", view.href(shape=None), not flat), ("Flat", view.href(shape="flat"), flat)]
            ),
            parts.segments(
                "Which agents",
                [
                    ("All", view.href(show=None), not parents_only),
                    ("With sub-agents", view.href(show="parents"), parents_only),
                ],
            ),
            html.Span(
                "Inclusive = self + all sub-agents. The total adds self costs; nothing is counted twice.",
                className="note",
            ),
            html.Span(fmt.plural(agents, "agent") + (", 1 other row" if nameless else ""), className="note card-end"),
        ],
        className="chips grid-bar",
    )
    return html.Section(
        [
            html.H2("Cost by agent", className="unseen"),
            bar,
            grids.grid(
                GRID,
                columns,
                rows,
                label="Cost by agent",
                total=total,
                most_height=760,
                sort=view.get("sort") if flat else None,
            ),
            parts.lines([_line(view, row) for row in (*rows, total)]),
        ],
        className="card flush",
    )


def _line(view: View, row: Mapping[str, Any]) -> parts.Line:
    facts = f"self {row['own_text']} · {row['per_task_text']} / task · cache {row['hit_text']}"
    if row["waste"]:
        facts += f" · waste {row['waste_text']}"
    is_total = row["id"] == "total"
    href = view.href("/calls") if is_total else followed(view, "inclusive", row)
    bold = row["weight"] == 600
    return parts.Line(row["agent"], row["inclusive_text"], facts, href, row["depth"], bold)


def _row(
    view: View,
    agent: Agent,
    team: str | None,
    tasks: int | None,
    most: Decimal,
    digits: int,
    is_closed: bool,
    flat: bool,
) -> dict[str, Any]:
    row = agent.row
    per_task = data.ratio(agent.inclusive, tasks)
    calls_per_task = data.ratio(row.calls if row is not None else None, tasks)
    hit = data.cache_hit(row) if row is not None else None
    errors = data.ratio(row.errors, row.calls) if row is not None else None
    entered = row is not None and any(row.tokens.values())
    caret = "" if flat or not agent.children else "▸ " if is_closed else "▾ "
    shown: dict[str, tuple[Any, str, str]] = {
        "inclusive": (agent.inclusive, fmt.money(agent.inclusive, digits), fmt.money_exact(agent.inclusive)),
        "own": (agent.own, fmt.money(agent.own, digits), fmt.money_exact(agent.own)),
        "tasks": (tasks, fmt.count(tasks), ""),
        "per_task": (per_task, fmt.money(per_task, max(3, digits)), "inclusive cost ÷ tasks"),
        "calls_per_task": (
            calls_per_task,
            fmt.UNKNOWN if calls_per_task is None else f"{calls_per_task:.1f}",
            "own calls ÷ tasks",
        ),
        "hit": (
            hit,
            fmt.percent(hit) if hit is not None else "not reported" if entered else fmt.UNKNOWN,
            "cache reads ÷ all input tokens of its own calls",
        ),
        "errors": (
            errors,
            fmt.percent(errors),
            f"{fmt.count(row.errors)} of {fmt.count(row.calls)} calls" if row else "",
        ),
    }
    cells: dict[str, Any] = {}
    for name, (value, text, full) in shown.items():
        cells[name] = None if value is None else float(value)
        cells[f"{name}_text"] = text
        cells[f"{name}_full"] = full
    return {
        "id": agent.path or "\0",
        "path": agent.path,
        "paths": agent.paths if agent.path else [],
        "agent": agent.path if flat else agent.name,
        "caret": caret,
        "depth": 0 if flat else agent.depth,
        "weight": 600 if not agent.depth and not flat else 400,
        "team": team or fmt.UNKNOWN,
        "bar": grids.bar(float((agent.inclusive or Decimal(0)) / most)) if most else "none",
        **cells,
    }


def _waste(agent: Agent, lost: Decimal | None) -> dict[str, Any]:
    """The cells of the waste column: share of the inclusive cost that went into loops."""
    share = fmt.share_of(lost, agent.inclusive)
    return {
        "waste": None if share is None else float(share),
        "waste_text": fmt.percent(share),
        "waste_full": fmt.UNKNOWN if lost is None else f"{fmt.money_exact(lost)} in loops, after the repeats allowed",
        "waste_bar": grids.bar(float(share), "--bar-warm") if share else "none",
    }


def _teams(view: View) -> dict[str | None, str]:
    """Agent path → its team, or how many it has."""
    found: dict[str | None, list[str]] = {}
    for row in data.whole(view.costs("agent_path", "team")).rows:
        team = row.keys.get("team")
        if team is not None:
            found.setdefault(row.keys.get("agent_path"), []).append(team)
    return {path: names[0] if len(names) == 1 else f"{len(names)} teams" for path, names in found.items()}


def _tasks_of(view: View, agent: Agent | None = None) -> int | None:
    """Distinct tasks of a subtree, or of all: counts of agents overlap, so they are asked for together."""
    only = [("agent_path", path) for path in agent.paths] if agent is not None else []
    rows = data.whole(view.costs(only=only)).rows
    return rows[0].tasks if rows else None


def _icicle(view: View, roots: Sequence[Agent], nameless: CostRow | None, totals: CostRow) -> Component:
    spend = totals.cost(view.basis)
    known = places(view.project, "agent")
    digits = 0 if spend is not None and spend >= 1000 else fmt.digits_for(spend)
    cells = [figures.Cell("all", "", "all spend", spend or Decimal(0), None, 0)]
    for root in roots:
        # A family has the colour of its root; a root too small for one of its own has that of its largest member.
        members = sorted(root.below(), key=lambda agent: (agent is not root, -(agent.own or Decimal(0))))
        place = next((known[agent.name] for agent in members if agent.name in known), None)
        for agent in root.below():
            if agent.inclusive:
                parent = agent.path.rsplit("/", 1)[0] if agent.depth else "all"
                cells.append(figures.Cell(agent.path, parent, agent.name, agent.inclusive, place, agent.depth + 1))
    lost = nameless.cost(view.basis) if nameless is not None else None
    if lost:
        cells.append(figures.Cell("\0", "all", NAMELESS, lost, None, 1))
    deepest = max(cell.depth for cell in cells) + 1
    figure = figures.icicle(cells, digits, view.theme)
    named = ", ".join(f"{root.name} {fmt.money_short(root.inclusive)}" for root in roots[:3])
    return parts.card(
        "Where the money sits",
        parts.graph(ICICLE, figure, 46 * deepest, f"Inclusive cost by agent. Largest: {named}."),
        subtitle="inclusive cost; the uncovered part under an agent is its own calls; click to zoom",
    )


def register(app: Dash) -> None:
    """Clicks in the table: the caret opens and closes, a number leads to its calls."""
    shell.remember_sort(app, GRID)

    @app.callback(
        Output(shell.LOCATION, "href", allow_duplicate=True),
        Input(GRID, "cellClicked"),
        State(GRID, "rowData"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def clicked(cell: dict[str, Any] | None, rows: list[dict[str, Any]], href: str) -> str:
        if not cell:
            raise PreventUpdate
        row = next((one for one in rows if one["id"] == cell["rowId"]), None)
        view = await asyncio.to_thread(shell.current_view, href)
        return followed(view, cell["colId"], row)


def followed(view: View, column: str, row: Mapping[str, Any] | None) -> str:
    """Where a click leads: opened or closed, or the calls under the number.

    Raises   PreventUpdate where the cell leads nowhere.
    """
    if column == "agent" and row is not None and row["caret"]:
        closed = list(view.query.get("closed", ()))
        path = row["path"]
        left = [one for one in closed if one != path] if path in closed else [*closed, path]
        return view.href(closed=left or None)
    if column not in DRILLS:
        raise PreventUpdate
    if row is None:
        return view.href("/calls")
    if column in ("inclusive", "tasks", "per_task") and row["paths"]:
        return view.with_filter(*(("agent_path", path) for path in row["paths"]), path="/calls")
    return view.with_filter(("agent_path", row["path"] or None), path="/calls")
