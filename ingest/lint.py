"""What an instrumentation leaves out that costs need, with the key to set: the findings of `jevons lint`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.core.telemetry import Call
from models.core.vocabulary import UsageSource


@dataclass(slots=True, frozen=True)
class Check:
    """One thing that calls should carry."""

    name: str
    weight: int
    missing: str
    """The attribute to set."""
    fix: str
    holds: Callable[[Call], bool]


@dataclass(slots=True, frozen=True)
class Finding:
    """One check that some calls of one instrumentation fail."""

    instrumentation: str
    check: str
    calls: int
    failing: int
    missing: str
    fix: str


@dataclass(slots=True, frozen=True)
class Lint:
    """All findings, and the share of weighted checks that hold, 0 to 100; None without calls."""

    score: float | None
    calls: int
    findings: Sequence[Finding]


def _stated(name: str) -> Callable[[Call], bool]:
    return lambda call: getattr(call, name) is not None and name not in call.inferred


def _is_split(call: Call) -> bool:
    return call.tokens.is_absent or (
        call.tokens.cache_read is not None and {"cache_read"} <= set(call.provenance) | _refused(call)
    )


def _refused(call: Call) -> set[str]:
    return {"cache_read"} if call.status.value == "error" or call.operation == "embeddings" else set()


CHECKS: tuple[Check, ...] = (
    Check(
        "usage",
        5,
        "gen_ai.usage.input_tokens, gen_ai.usage.output_tokens",
        "ask for usage in streams (OpenAI: stream_options.include_usage) and use a current instrumentation",
        lambda call: call.usage_source is UsageSource.REPORTED or call.status.value == "error",
    ),
    Check(
        "model",
        4,
        "gen_ai.response.model",
        "export the model that answered; prices depend on it",
        lambda call: call.model is not None,
    ),
    Check(
        "cache split",
        4,
        "gen_ai.usage.cache_read.input_tokens",
        "export cache reads and writes, or the raw usage object; without them cached tokens are priced as new ones",
        _is_split,
    ),
    Check(
        "convention",
        3,
        "instrumentation scope name and version",
        "name the scope after the instrumentation and set its version, so that its convention is known",
        lambda call: not call.convention.startswith("unknown") or call.tokens.is_absent,
    ),
    Check(
        "agent",
        3,
        "gen_ai.agent.name",
        "open an `invoke_agent` span with gen_ai.agent.name around the agent's calls",
        _stated("agent"),
    ),
    Check(
        "session",
        2,
        "gen_ai.conversation.id or session.id",
        "set gen_ai.conversation.id on the calls or on a span above them",
        _stated("session"),
    ),
    Check(
        "task",
        2,
        "task.id or task.type",
        "set task.id on the span that begins the task; without it the root span's name stands in",
        _stated("task"),
    ),
    Check(
        "team",
        1,
        "team.id",
        "set team.id as a resource attribute (OTEL_RESOURCE_ATTRIBUTES=team.id=…)",
        _stated("team"),
    ),
)


def lint_calls(calls: Iterable[Call]) -> Lint:
    """Check calls, one instrumentation at a time.

    Shapes   n calls → a score and at most one finding per instrumentation and check, the heaviest first.
    Units    score in percent of the weights that hold over all calls.
    """
    found: dict[tuple[int, str], list[int]] = {}
    total = held = number = 0
    for call in calls:
        number += 1
        for position, check in enumerate(CHECKS):
            counts = found.setdefault((position, call.instrumentation), [0, 0])
            counts[0] += 1
            total += check.weight
            if check.holds(call):
                held += check.weight
            else:
                counts[1] += 1
    findings = [
        Finding(name, CHECKS[position].name, counts[0], counts[1], CHECKS[position].missing, CHECKS[position].fix)
        for (position, name), counts in sorted(found.items())
        if counts[1]
    ]
    return Lint(round(100 * held / total, 1) if total else None, number, findings)
