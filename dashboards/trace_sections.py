"""What the input of a trace was made of: prompt sections by agent where telemetry tells them, unknown otherwise."""

from collections.abc import Sequence

import plotly.graph_objects as go
from dash import html
from dash.development.base_component import Component

from dashboards import format as fmt
from dashboards import parts
from dashboards.theme import GREY, SERIES, TEMPLATES, Scheme
from dashboards.view import View
from models.core.queries import SpanNode
from models.core.vocabulary import INPUT_BUCKETS
from models.costs.anatomy import SECTIONS, UNKNOWN, drafts_of, sections_of

CHART = "trace-sections"
NAMELESS = "no agent attribute"
MOST_AGENTS = 8
_NAMES = {"system": "System prompt", "tools": "Tool definitions", "history": "History", UNKNOWN: "Unknown"}
_ORDER = (*SECTIONS.values(), UNKNOWN)


def _colour(section: str, scheme: Scheme) -> str:
    return SERIES[scheme][GREY if section == UNKNOWN else _ORDER.index(section)]


def _entered(node: SpanNode) -> int | None:
    tokens = node.call["tokens"] if node.call else {}
    told = [count for bucket in INPUT_BUCKETS if (count := tokens.get(bucket.value)) is not None]
    return sum(told) if told else None


def by_agent(calls: Sequence[SpanNode]) -> dict[str, dict[str, int]]:
    """Input by section of each agent's own calls, the agent with the most input first."""
    grouped: dict[str, list[SpanNode]] = {}
    for node in calls:
        grouped.setdefault(node.agent or NAMELESS, []).append(node)
    found = {
        name: sections_of((_entered(node), (node.call.get("details") or {})) for node in nodes if node.call is not None)
        for name, nodes in grouped.items()
    }
    known = {name: sums for name, sums in found.items() if sum(sums.values())}
    return dict(sorted(known.items(), key=lambda pair: (-sum(pair[1].values()), pair[0])))


def is_told(calls: Sequence[SpanNode]) -> bool:
    """Whether any call tells a section of its prompt."""
    return any(name != UNKNOWN and tokens for sums in by_agent(calls).values() for name, tokens in sums.items())


def sections(view: View, calls: Sequence[SpanNode]) -> Component:
    """The card: a stacked bar per agent, and its figures."""
    agents = dict(list(by_agent(calls).items())[:MOST_AGENTS])
    used = [name for name in _ORDER if any(sums.get(name) for sums in agents.values())]
    rows = [
        html.Tr(
            [
                html.Td(agent),
                *(parts.number(fmt.tokens(sums.get(name)), fmt.count(sums.get(name))) for name in used),
                parts.number(fmt.tokens(sum(sums.values())), fmt.count(sum(sums.values()))),
            ]
        )
        for agent, sums in agents.items()
    ]
    head = [("Agent", False), *((_NAMES[name], True) for name in used), ("Input", True)]
    whole = {name: sum(sums.get(name, 0) for sums in agents.values()) for name in used}
    said = "Input by prompt section: " + ", ".join(f"{_NAMES[name]} {fmt.tokens(whole[name])}" for name in used) + "."
    return parts.card(
        "What the input was made of",
        parts.graph(CHART, figure(agents, used, view.theme), 40 + 34 * len(agents), said),
        html.Div(parts.table(head, rows, "Input by prompt section"), className="hide-narrow"),
        parts.lines(
            [parts.Line(agent, fmt.tokens(sum(sums.values())), _words(sums)) for agent, sums in agents.items()]
        ),
        subtitle="input tokens of every call by section of the prompt; what no span tells is unknown",
        end=parts.legend(*((_NAMES[name], _colour(name, view.theme)) for name in used)),
    )


def _words(sums: dict[str, int]) -> str:
    return " · ".join(f"{_NAMES[name]} {fmt.tokens(sums[name])}" for name in _ORDER if sums.get(name))


def figure(agents: dict[str, dict[str, int]], used: Sequence[str], scheme: Scheme) -> go.Figure:
    """One horizontal bar per agent, its sections one after the other."""
    names = list(agents)
    made = go.Figure(
        [
            go.Bar(
                name=_NAMES[section],
                orientation="h",
                y=names,
                x=[agents[name].get(section, 0) for name in names],
                marker={"color": _colour(section, scheme)},
                customdata=[f"{_NAMES[section]}: {fmt.count(agents[name].get(section, 0))} tokens" for name in names],
                hovertemplate="%{y}<br>%{customdata}<extra></extra>",
            )
            for section in used
        ]
    )
    made.update_layout(
        template=TEMPLATES[scheme],
        barmode="stack",
        showlegend=False,
        margin={"l": 8, "r": 8, "t": 6, "b": 26},
        hovermode="closest",
        yaxis={"autorange": "reversed", "automargin": True, "showgrid": False},
        xaxis={"nticks": 5, "tickformat": "~s"},
    )
    return made


def drafts_fact(calls: Sequence[SpanNode]) -> tuple[str, str] | None:
    """Accepted drafts of the calls that tell them, as a line of facts."""
    found = drafts_of((node.call.get("details") or {}) for node in calls if node.call is not None)
    if found is None:
        return None
    return "Drafts accepted", f"{fmt.percent(found.acceptance)} of {fmt.tokens(found.drafted)} tokens"
