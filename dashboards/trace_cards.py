"""Cards of one trace: context size over time, cost by agent with the facts of the run, where its money sits."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards import figures, parts
from dashboards import format as fmt
from dashboards.identity import places
from dashboards.trace_picker import DIGITS
from dashboards.trace_sections import drafts_fact, is_told
from dashboards.view import View
from models.core.queries import SpanNode, TraceTree
from models.core.vocabulary import CACHE_WRITE_BUCKETS, INPUT_BUCKETS

CONTEXT, ICICLE = "trace-context", "trace-icicle"
MOST_AGENTS = 4
"""Agents whose context can be chosen: the costliest."""
NAMELESS = "no agent attribute"


def by_agent(calls: Sequence[SpanNode]) -> list[tuple[str, Decimal]]:
    """Cost of the own calls of each agent, the largest first."""
    sums: dict[str, Decimal] = {}
    for node in calls:
        if node.self_cost is not None:
            name = node.agent or NAMELESS
            sums[name] = sums.get(name, Decimal(0)) + node.self_cost
    return sorted(sums.items(), key=lambda pair: -pair[1])


def _steps(calls: Sequence[SpanNode]) -> list[figures.ContextStep]:
    steps: list[figures.ContextStep] = []
    for node in calls:
        tokens = node.call["tokens"] if node.call else {}
        writes = sum(tokens.get(bucket.value) or 0 for bucket in CACHE_WRITE_BUCKETS)
        read = tokens.get("cache_read") or 0
        entered = sum(tokens.get(bucket.value) or 0 for bucket in INPUT_BUCKETS)
        if entered:
            steps.append(figures.ContextStep(node.start, node.end, read, writes, entered - read - writes))
    return sorted(steps, key=lambda step: (step.start, step.end))


def context(view: View, tree: TraceTree, calls: Sequence[SpanNode]) -> Component:
    """The context of one agent, the costliest unless the address says another: agents have contexts of their own."""
    agents = [name for name, _ in by_agent(calls)][:MOST_AGENTS]
    chosen = view.get("of") if view.get("of") in agents else (agents[0] if agents else NAMELESS)
    steps = _steps([node for node in calls if (node.agent or NAMELESS) == chosen])
    title = f"Context size of {chosen}, per call"
    choices = [(name, view.href(of=name), name == chosen) for name in agents]
    end = parts.segments("Agent", choices) if len(choices) > 1 else None
    if not steps:
        return parts.card(title, html.P("No call of it reports its input tokens.", className="note"), end=end)
    figure = figures.context_size(steps, tree.start, view.theme)
    most = max(step.total for step in steps)
    shrunk = figures.compactions(steps)
    said = f"{fmt.plural(len(steps), 'call')}, at most {fmt.tokens(most)} input tokens"
    if shrunk:
        said += f"; {fmt.plural(len(shrunk), 'compaction')}"
    colours = (
        ("cache read", "var(--series-4)"),
        ("cache write", "var(--series-0)"),
        ("uncached input", "var(--series-1)"),
    )
    return parts.card(
        title,
        parts.graph(CONTEXT, figure, 168, f"Input tokens of {chosen} over time: {said}."),
        parts.legend(*colours),
        subtitle=said,
        end=end,
    )


def summary(view: View, tree: TraceTree, calls: Sequence[SpanNode]) -> Component:
    """What the run cost by agent, and its facts."""
    agents = by_agent(calls)
    rows = [
        html.Tr(
            [
                html.Td(name, className="name", title=name),
                parts.number(fmt.money(cost, DIGITS), fmt.money_exact(cost)),
                parts.number(fmt.share(fmt.share_of(cost, tree.effective_cost))),
            ]
        )
        for name, cost in agents
    ]
    total = [
        html.Td("Trace"),
        parts.number(fmt.money(tree.effective_cost, DIGITS), fmt.money_exact(tree.effective_cost)),
        parts.number("100\u00a0%"),
    ]
    rows.append(html.Tr(total, className="total"))
    roles = {role: sum(node.role == role for node in tree.spans) for role in ("rollup", "duplicate")}
    pairs: list[tuple[str, Any]] = [
        ("Started", f"{fmt.day_and_time(tree.start, True)} UTC"),
        ("Duration", fmt.span_of_time(tree.end - tree.start)),
        ("Spans", fmt.count(len(tree.spans))),
        ("Model calls", fmt.count(tree.calls)),
        ("Errors", fmt.count(sum(node.status == "error" for node in tree.spans))),
    ]
    if calls and not is_told(calls):
        pairs.append(("Prompt sections", "unknown"))
    if (drafts := drafts_fact(calls)) is not None:
        pairs.append(drafts)
    if roles["rollup"]:
        pairs.append(("Roll-ups, not counted", fmt.count(roles["rollup"])))
    if roles["duplicate"]:
        pairs.append(("Repeats, not counted", fmt.count(roles["duplicate"])))
    pairs.append(("Trace id", html.Span(tree.trace_id, className="mono")))
    return parts.card(
        "This run, by agent",
        parts.table([("Agent", False), ("Cost", True), ("Share", True)], rows, "Cost by agent"),
        html.Hr(className="rule"),
        parts.facts(*pairs),
        subtitle="own calls of each agent; click a model call for its price proof",
    )


def icicle(view: View, tree: TraceTree) -> Component:
    """Inclusive cost from the whole run down; calls of one model under one span are one cell. Nothing: one chain."""
    known = places(view.project, "agent")
    cells = cost_cells(tree, known)
    if len({cell.depth for cell in cells}) == len(cells):
        return html.Div()
    deepest = max(cell.depth for cell in cells) + 1
    figure = figures.icicle(cells, DIGITS, view.theme)
    said = f"Inclusive cost by span, {fmt.money(tree.effective_cost, DIGITS)} in all."
    return parts.card(
        "Where the money sits",
        parts.graph(ICICLE, figure, 46 * deepest, said),
        subtitle="inclusive cost of agents and tools; calls of one model under one span are one cell; click to zoom",
    )


def cost_cells(tree: TraceTree, known: dict[str, int]) -> list[figures.Cell]:
    """Cells of the spans that cost something.

    Laws   the cells under the whole sum to the cost of the trace.
    """
    cells = [figures.Cell("all", "", "this run", tree.effective_cost or Decimal(0), None, 0)]
    above: list[tuple[int, str, int]] = []
    grouped: dict[tuple[str, str, int], list[SpanNode]] = {}
    for at, node in enumerate(tree.spans):
        while above and above[-1][0] >= node.depth:
            above.pop()
        if not node.inclusive_cost:
            continue
        parent, level = (above[-1][1], above[-1][2]) if above else ("all", 0)
        following = tree.spans[at + 1] if at + 1 < len(tree.spans) else None
        if node.call is not None and (following is None or following.depth <= node.depth):
            grouped.setdefault((parent, str(node.call.get("model") or "no model"), level), []).append(node)
            continue
        place = known.get(node.agent or _first_agent(tree, at) or "")
        cells.append(figures.Cell(node.span_id, parent, node.name, node.inclusive_cost, place, level + 1))
        above.append((node.depth, node.span_id, level + 1))
    for (parent, model, level), nodes in grouped.items():
        cost = sum((node.inclusive_cost or Decimal(0) for node in nodes), Decimal(0))
        name = f"{fmt.plural(len(nodes), 'call')} of {model}"
        place = known.get(nodes[0].agent or "")
        cells.append(figures.Cell(f"{parent}/{model}", parent, name, cost, place, level + 1))
    return cells


def _first_agent(tree: TraceTree, at: int) -> str | None:
    depth = tree.spans[at].depth
    for node in tree.spans[at + 1 :]:
        if node.depth <= depth:
            return None
        if node.agent:
            return node.agent
    return None
