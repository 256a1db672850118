"""A step of an agent and a finding about its steps: what the loop detectors read and say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from models.core.money import EXACT

NS_PER_MINUTE = 60_000_000_000


class FindingKind(StrEnum):
    """What runs away, in the words of the incidents list."""

    REPEATED_STEP = "repeated_step"
    CYCLE = "cycle"
    RETRY_STORM = "retry_storm"
    CONTEXT_RATCHET = "context_ratchet"
    FAN_OUT = "fan_out"
    NEAR_DUPLICATE = "near_duplicate"
    BURN_RATE = "burn_rate"
    BUDGET = "budget"


@dataclass(slots=True, frozen=True, kw_only=True)
class Step:
    """One thing an agent did: a call to a model, a tool run, or the run of a (sub-)agent. Never its contents."""

    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    operation: str
    """`execute_tool`, `invoke_agent`, or the operation of a model call such as `chat`."""
    failed: bool = False
    agent: str | None = None
    agent_path: str | None = None
    tool: str | None = None
    arguments_hash: str | None = None
    """Keyed hash of the tool's arguments; None where the instrumentation does not tell them."""
    result_hash: str | None = None
    progress: float | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None

    @property
    def is_tool(self) -> bool:
        """Whether a tool ran."""
        return self.operation == "execute_tool"

    @property
    def is_agent(self) -> bool:
        """Whether this is the run of an agent as a whole."""
        return self.operation == "invoke_agent"

    @property
    def signature(self) -> tuple[str | None, str, str | None, str | None, bool]:
        """What makes two steps the same: agent, operation, tool, arguments, outcome."""
        return (self.agent, self.operation, self.tool, self.arguments_hash, self.failed)


@dataclass(slots=True, frozen=True, kw_only=True)
class Finding:
    """Something repeats: names, figures and the reason; never contents."""

    kind: FindingKind
    trace_id: bytes
    agent: str | None
    what: Sequence[str]
    """The tools, models or agents that repeat, in order."""
    repeats: int
    threshold: int
    since_ns: int
    last_ns: int
    cost: Decimal
    """Money of the model calls since the pattern began; calls without a price are not in it."""
    waste: Decimal
    """The part of `cost` spent after the repeats that are allowed."""
    failed: bool = False
    arguments_known: bool = True
    suppressors_checked: Sequence[str] = ()

    @property
    def cost_per_minute(self) -> Decimal | None:
        """Money per minute since the pattern began; None before any time has passed."""
        if self.last_ns <= self.since_ns:
            return None
        elapsed = Decimal(self.last_ns - self.since_ns)
        return EXACT.divide(EXACT.multiply(self.cost, Decimal(NS_PER_MINUTE)), elapsed)

    @property
    def title(self) -> str:
        """One line: what repeats, how often, and how it ends."""
        names = " → ".join(self.what)
        who = f"agent {self.agent}" if self.agent else "an agent without a name"
        ending = ", each time with an error" if self.failed else ""
        match self.kind:
            case FindingKind.REPEATED_STEP:
                return f"{who}: the same step {names} ×{self.repeats}{ending}"
            case FindingKind.CYCLE:
                return f"{who}: the cycle {names} ×{self.repeats}{ending}"
            case FindingKind.RETRY_STORM:
                return f"{who}: {self.repeats} failed or repeated requests to {names}"
            case FindingKind.CONTEXT_RATCHET:
                return f"{who}: context grew for {self.repeats} turns without a new result"
            case FindingKind.FAN_OUT:
                return f"{who}: {self.repeats} {names}"
            case _:
                return f"{who}: {self.kind.value.replace('_', ' ')} {names} ×{self.repeats}"


WAITING = frozenset(
    "await heartbeat monitor ping poll polling progress ready sleep status tail wait watch".split()  # noqa: SIM905
)
"""Words in the names of tools whose work is to be called again: repeats of these are no loop."""

TOLD_BY_ARGUMENTS = frozenset(
    (  # noqa: SIM905
        "bash shell sh exec execute run command cmd terminal python node code repl script sql query read write edit "
        "patch view open cat ls list glob grep find search fetch get_page http request curl browse browser click "
        "scroll page next task agent delegate item items map process batch todo todowrite"
    ).split()
)
"""Words in the names of tools that do something else with each argument: repeats tell nothing without arguments."""


def words_of(name: str) -> frozenset[str]:
    """The lower-case words of a tool name: `getBuildStatus` and `get_build_status` are get, build, status."""
    return frozenset(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


def is_waiting(tool: str | None) -> bool:
    """Whether a tool waits or polls, by its name."""
    return tool is not None and bool(words_of(tool) & WAITING)


def can_be_told(step: Step) -> bool:
    """Whether two steps of this signature are the same work: the arguments are told, or the name says enough."""
    return step.arguments_hash is not None or (step.tool is not None and says_its_work(step.tool))


@lru_cache(maxsize=4096)
def says_its_work(tool: str) -> bool:
    """Whether a tool's name alone tells what it does, without its arguments."""
    return not words_of(tool) & TOLD_BY_ARGUMENTS
