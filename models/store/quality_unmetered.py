"""What the newest calls without usage may have used, by metered calls of the same time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.quality import Unmetered
from models.costs.unmetered import Key, Peers, Untold, estimate
from models.store.engine import PLANNED_ANEW
from models.store.quality_calls import CallGroup, newest_calls, newest_of

MOST_GROUPS = 100
"""Agents and models that are answered, those with the most calls."""

_TOKENS = (
    "coalesce(input, 0) + coalesce(cache_read, 0) + coalesce(cache_write_5m, 0) + coalesce(cache_write_1h, 0) "
    "+ coalesce(cache_write_unknown, 0) + coalesce(tool_use_input, 0) + coalesce(output, 0) "
    "+ coalesce(reasoning, 0) AS tokens"
)
_SPREAD = "percentile_disc(ARRAY[0.05, 0.5, 0.95]) WITHIN GROUP (ORDER BY"


def unmetered_of(
    connection: Connection, projects: Sequence[int], asked: Mapping[str, Any], groups: Iterable[CallGroup]
) -> Sequence[Unmetered]:
    """Estimates of the calls without usage among these groups, by agent and model, most calls first.

    Shapes   groups of `read_groups` and what it was asked. Nothing is asked of the database unless a call told nothing.
    """
    untold = _untold(groups)
    if not untold:
        return ()
    models = sorted({group.model for group in untold if group.model is not None})
    rows = connection.execute(
        text(
            # Charges of the same time by their own index, and each attribution once: looked up call by call, every one
            # of them would cost more than its call.
            f"WITH newest AS MATERIALIZED ({newest_calls(projects, _TOKENS)}), "
            "charged AS MATERIALIZED (SELECT project_id, origin_id, span_id, effective_cost FROM charges "
            "WHERE project_id = ANY(:projects) AND end_at >= (SELECT min(end_at) FROM newest) AND end_at < :end "
            "AND month >= :first_month AND month <= :last_month AND charge_class = 'usage' AND superseded_at IS NULL), "
            "named AS MATERIALIZED (SELECT k.project_id, k.attribution_id, a.agent "
            "FROM (SELECT DISTINCT project_id, attribution_id FROM newest) k "
            "CROSS JOIN LATERAL (SELECT agent FROM attributions WHERE project_id = k.project_id "
            "AND attribution_id = k.attribution_id OFFSET 0) a), "
            "peers AS (SELECT n.model, a.agent, n.tokens, h.effective_cost FROM newest n "
            "JOIN named a USING (project_id, attribution_id) LEFT JOIN charged h ON h.project_id = n.project_id "
            "AND h.origin_id = n.trace_id AND h.span_id = n.span_id "
            "WHERE n.tokens > 0 AND n.model = ANY(:models)) "
            "SELECT model, agent, grouping(agent) = 1 AS is_model, count(*) AS calls, "
            f"{_SPREAD} tokens) AS tokens, {_SPREAD} effective_cost) AS costs "
            "FROM peers GROUP BY GROUPING SETS ((model, agent), (model))"
        ),
        {**asked, "projects": list(projects), "models": models},
        execution_options=PLANNED_ANEW,
    ).all()
    peers = {(row.agent, row.model): _peers(row) for row in rows if not row.is_model}
    return estimate(untold, peers, {row.model: _peers(row) for row in rows if row.is_model})


def _untold(groups: Iterable[CallGroup]) -> list[Untold]:
    alike: defaultdict[Key, list[CallGroup]] = defaultdict(list)
    for group in groups:
        if group.untold:
            alike[group.agent, group.model].append(group)
    found = [
        Untold(
            agent=agent,
            model=model,
            calls=sum(group.calls for group in same),
            failed=sum(group.failed for group in same),
            examples=newest_of(same),
        )
        for (agent, model), same in alike.items()
    ]
    found.sort(key=lambda each: (-each.calls, each.agent is None, each.agent, each.model is None, each.model))
    return found[:MOST_GROUPS]


def _peers(row: Any) -> Peers:
    low, middle, high = row.tokens
    costs: Sequence[Decimal | None] = row.costs or ()
    known = [cost for cost in costs if cost is not None]
    cost = (known[0], known[1], known[2]) if len(known) == 3 else None
    return Peers(calls=row.calls, tokens=(int(low), int(middle), int(high)), cost=cost)
