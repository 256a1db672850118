"""What loops wasted, agent by agent: the incidents of a period, each put down to the agent that ran it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from dashboards.alerts import LOOPS
from dashboards.desk import current_desk
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.controls import Incident
from models.core.queries import CallQuery

MOST_INCIDENTS = 1000
MOST_LOOKED_UP = 50
"""Incidents whose trace is asked for the agent's path, where several agents have its name."""
CALLS_OF_A_TRACE = 200


def waste_by_path(view: View, paths: Sequence[str]) -> Mapping[str, Decimal] | None:
    """Money of the view's period that went into loops after the repeats that are allowed.

    By path of the agent; what agents without a name wasted stands under the empty path.

    None where it is unknown: without guardrails, and under filters, which incidents are not kept by.
    """
    desk = current_desk()
    if desk is None or view.filters:
        return None
    found: dict[str, Decimal] = {}
    looked_up = 0
    for one in desk.incidents(view.project.id, MOST_INCIDENTS):
        if one.kind not in LOOPS or not one.waste or not view.period.start <= _when(one) < view.period.end:
            continue
        named = [path for path in paths if path.rsplit("/", 1)[-1] == one.agent] if one.agent else [""]
        if len(named) > 1 and looked_up < MOST_LOOKED_UP:
            looked_up += 1
            named = _path_in_trace(view, one, named)
        if len(named) == 1:
            found[named[0]] = found.get(named[0], Decimal(0)) + one.waste
    return found


def _when(incident: Incident) -> datetime:
    """When the loop ran last; an incident made of old calls was opened later."""
    told = [finding["last"] for finding in incident.evidence.get("findings") or [] if finding.get("last")]
    return datetime.fromisoformat(max(told)) if told else incident.last_seen_at


def _path_in_trace(view: View, incident: Incident, named: Sequence[str]) -> list[str]:
    if incident.trace_id is None:
        return []
    query = CallQuery(projects=(view.project.id,), trace_id=incident.trace_id, limit=CALLS_OF_A_TRACE)
    seen = Counter(call["agent_path"] for call in current_reader().calls(query).calls if call["agent_path"] in named)
    return [path for path, _ in seen.most_common(1)]
