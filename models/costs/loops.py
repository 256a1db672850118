"""Loop detectors: one step in, the next state and its findings out. O(1) state per agent of a trace, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from models.core.money import EXACT
from models.costs.cycles import CycleState, observe_cycle
from models.costs.fan_out import FanOutState, observe_fan_out
from models.costs.ratchet import RatchetState, observe_ratchet
from models.costs.repeats import RepeatState, observe_repeat
from models.costs.retries import RetryState, observe_retry
from models.costs.steps import Finding, FindingKind, Step

MOST_AGENTS = 256
"""Agents of one trace that are followed apart; the steps of further ones are taken together."""
OTHERS = "…others"


@dataclass(slots=True, frozen=True)
class AgentState:
    """What the detectors remember of one agent."""

    repeat: RepeatState = field(default_factory=RepeatState)
    cycle: CycleState = field(default_factory=CycleState)
    retry: RetryState = field(default_factory=RetryState)
    ratchet: RatchetState = field(default_factory=RatchetState)


@dataclass(slots=True, frozen=True)
class WatchState:
    """What the detectors remember of one trace or session: bounded, whatever its length."""

    agents: Mapping[str | None, AgentState] = field(default_factory=dict[str | None, AgentState])
    fan_out: FanOutState = field(default_factory=FanOutState)


def observe(state: WatchState, step: Step) -> tuple[WatchState, list[Finding]]:
    """Take one step, in order of ends, into the state; say what it completes or continues.

    A finding is said at the step that reaches its threshold and again at each step that continues it, with the
    figures so far. The same steps in the same order give the same findings, so a state that is lost is rebuilt by
    observing again.
    """
    fan_out, findings = observe_fan_out(state.fan_out, step)
    key = step.agent if step.agent in state.agents or len(state.agents) < MOST_AGENTS else OTHERS
    agent = state.agents.get(key, AgentState())
    repeat, repeated = observe_repeat(agent.repeat, step)
    cycle, cycled = observe_cycle(agent.cycle, step)
    retry, retried = observe_retry(agent.retry, step)
    ratchet, ratcheted = observe_ratchet(agent.ratchet, step)
    after = AgentState(repeat=repeat, cycle=cycle, retry=retry, ratchet=ratchet)
    findings += [found for found in (repeated, cycled, retried, ratcheted) if found is not None]
    return replace(state, agents={**state.agents, key: after}, fan_out=fan_out), findings


def findings_of(steps: Iterable[Step]) -> list[Finding]:
    """The findings of a whole trace: the last word on each pattern, in the order in which they were first seen.

    Shapes   n steps in any order → one finding per kind, agent, names and beginning.
    """
    state, last = WatchState(), dict[tuple[object, ...], Finding]()
    for step in sorted(steps, key=lambda step: (step.end_ns, step.start_ns, step.span_id)):
        state, found = observe(state, step)
        for finding in found:
            last[finding.kind, finding.agent, finding.since_ns] = finding
    return list(last.values())


def waste(findings: Sequence[Finding]) -> Decimal:
    """Money spent in loops after the allowed repeats. Patterns of one agent that overlap are counted once.

    Of the findings of one agent whose times overlap the costliest stands for all, so waste never exceeds the spend.
    """
    total = Decimal(0)
    loops = [finding for finding in findings if finding.kind is not FindingKind.FAN_OUT]
    for finding in sorted(loops, key=lambda finding: (finding.waste, -finding.since_ns), reverse=True):
        rivals = [other for other in loops if other.agent == finding.agent and other is not finding]
        if not any(_overlap(finding, other) and _stands_for(other, finding) for other in rivals):
            total = EXACT.add(total, finding.waste)
    return total


def waste_share(findings: Sequence[Finding], total: Decimal) -> Decimal | None:
    """Loop money as a share of all money; None where nothing was spent."""
    return EXACT.divide(waste(findings), total) if total else None


def _overlap(one: Finding, other: Finding) -> bool:
    return one.since_ns < other.last_ns and other.since_ns < one.last_ns


def _stands_for(one: Finding, other: Finding) -> bool:
    return (one.waste, -one.since_ns, one.kind.value) > (other.waste, -other.since_ns, other.kind.value)
