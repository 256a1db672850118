"""An incident in words and parts: headline, fact line, state, and the buttons that move it."""

from datetime import UTC, datetime
from decimal import Decimal

from dash import dcc
from dash.development.base_component import Component

from dashboards import acts, parts
from dashboards import format as fmt
from dashboards.view import View
from models.core.controls import Incident, IncidentState

HEADS = {
    "repeated_step": "Loop",
    "cycle": "Loop",
    "near_duplicate": "Loop",
    "retry_storm": "Retries",
    "context_ratchet": "Growing context",
    "fan_out": "Fan-out",
    "burn_rate": "Burn rate",
    "budget": "Budget",
}
LOOPS = ("repeated_step", "cycle", "near_duplicate", "retry_storm", "context_ratchet", "fan_out")
ROLES = {"open": "critical", "acknowledged": "", "snoozed": "", "resolved": "ok"}
MUTED = (IncidentState.ACKNOWLEDGED, IncidentState.SNOOZED)


def headline(incident: Incident) -> str:
    """`Loop: test-runner`."""
    kind = HEADS.get(incident.kind, incident.kind)
    if incident.kind == "budget":
        return f"Budget: {incident.title.removeprefix('budget ').partition(':')[0]}"
    return f"{kind}: {incident.agent or incident.team or incident.session or 'no agent name'}"


def fact(incident: Incident) -> str:
    """What happens, in one line: names and figures, never contents."""
    findings = incident.evidence.get("findings") or []
    if incident.kind == "budget":
        evidence = incident.evidence
        said = f"{Decimal(evidence['percent']):.0f} % of {fmt.money_short(Decimal(evidence['amount']))}"
        ahead = evidence.get("forecast")
        return f"{said}, forecast {fmt.money_short(Decimal(ahead))}" if ahead else said
    if not findings:
        return incident.title.partition(" spends ")[2] or incident.title
    names = " → ".join(findings[0]["what"])
    match incident.kind:
        case "repeated_step" | "near_duplicate":
            return f"same step {names} ×{incident.repeats}"
        case "cycle":
            return f"cycle {names} ×{incident.repeats}"
        case "retry_storm":
            return f"{incident.repeats} failed or repeated requests to {names}"
        case _:
            return findings[0]["title"].partition(": ")[2]


def burning(incident: Incident) -> bool:
    """Whether it costs money right now."""
    return incident.state is not IncidentState.RESOLVED and not incident.quiet and incident.cost_per_minute is not None


def state_badge(incident: Incident) -> Component:
    """State as a word, with its severity where it still matters."""
    state = incident.state.value
    if state == "open":
        return parts.badge("open", "critical" if incident.severity == "critical" else "warn")
    if state == "snoozed" and incident.snoozed_until is not None:
        return parts.badge(f"snoozed to {incident.snoozed_until.astimezone(UTC):%H:%M}", "", "clock")
    return parts.badge(state, ROLES[state], "check" if state == "resolved" else "")


def since(incident: Incident, now: datetime) -> str:
    """When it began: the time today, the day before that."""
    findings = incident.evidence.get("findings") or []
    at = datetime.fromisoformat(findings[0]["since"]) if findings else incident.opened_at
    at = at.astimezone(UTC)
    return f"{at:%H:%M}" if at.date() == now.date() else fmt.day_and_time(at)


def per_minute(incident: Incident) -> str:
    """`$0.62/min`; 0 where it is over, — where it is not known."""
    if incident.state is IncidentState.RESOLVED:
        return "0"
    return fmt.UNKNOWN if incident.cost_per_minute is None else f"{fmt.money_short(incident.cost_per_minute)}/min"


def href(view: View, incident: Incident) -> str:
    """The page of an incident."""
    return view.href("/budgets", incident=str(incident.id))


def link(view: View, incident: Incident) -> Component:
    """The headline as a link."""
    return dcc.Link(headline(incident), href=href(view, incident), className="strong", title=incident.title)


def buttons(view: View, incident: Incident, short: bool = True, place: str = "") -> list[Component]:
    """Acknowledge, snooze, resolve: what the state allows."""
    if incident.state is IncidentState.RESOLVED:
        return []
    path = f"/incidents/{incident.id}"
    found: list[Component] = []
    if incident.state is not IncidentState.ACKNOWLEDGED:
        ask = acts.request(view, "POST", f"{path}/acknowledge", said="Acknowledged: it stays quiet.")
        found.append(acts.button("Ack" if short else "Acknowledge", ask, "ack", place=place))
    if incident.state is not IncidentState.SNOOZED:
        ask = acts.request(view, "POST", f"{path}/snooze", {"minutes": 60}, "Quiet for an hour.")
        found.append(acts.button("Snooze" if short else "Snooze 1 h", ask, "snooze", place=place))
    ask = acts.request(view, "POST", f"{path}/resolve", said="Resolved. It opens again by itself if it goes on.")
    found.append(acts.button("Resolve", ask, "resolve" if short else "resolve main", place=place))
    return found
