"""What a request is made of: context turn by turn, compactions, request sizes, prompt sections."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from models.core.telemetry import Call, TokenCounts
from models.core.vocabulary import INPUT_BUCKETS, Anatomy

LONG_CONTEXT = 128_000
"""Tokens of input over which requests are counted as long."""
LEAST_COMPACTED = 10_000
"""A context smaller than this is not compacted; a short turn between long ones is a side request."""
UNKNOWN = "unknown"


def context_of(tokens: TokenCounts) -> int | None:
    """Everything that entered the model, in tokens; None where no input is told."""
    counts = [count for bucket in INPUT_BUCKETS if (count := tokens.get(bucket)) is not None]
    return sum(counts) if counts else None


@dataclass(slots=True, frozen=True)
class Sent:
    """One request as far as its size goes."""

    span_id: str
    end_ns: int
    agent_path: str | None
    context: int | None
    """Tokens of input, cached parts included."""


def sent_of(call: Call) -> Sent:
    """The size of a call."""
    return Sent(call.span_id.hex(), call.end_ns, call.agent_path, context_of(call.tokens))


@dataclass(slots=True, frozen=True)
class Turn:
    """One request of an agent and the context it was sent."""

    span_id: str
    end_ns: int
    tokens: int
    is_compacted: bool
    """Whether the context shrank to less than half since the agent's turn before."""


def context_curves(requests: Iterable[Sent]) -> dict[str, list[Turn]]:
    """Context size per turn, a curve per agent path, in the order of time.

    Shapes   n requests of a trace or session → path (`unknown` without an agent) → turns that tell their input.
    Units    tokens.
    """
    by_path: dict[str, list[tuple[Sent, int]]] = {}
    for request in sorted(requests, key=lambda request: (request.end_ns, request.span_id)):
        if request.context is not None:
            by_path.setdefault(request.agent_path or UNKNOWN, []).append((request, request.context))
    return {
        path: [
            Turn(turns[0][0].span_id, turns[0][0].end_ns, turns[0][1], False),
            *(
                Turn(request.span_id, request.end_ns, size, before >= LEAST_COMPACTED and 2 * size < before)
                for (_, before), (request, size) in pairwise(turns)
            ),
        ]
        for path, turns in by_path.items()
    }


@dataclass(slots=True, frozen=True, kw_only=True)
class RequestSizes:
    """How large requests are; None where no request tells its input."""

    requests: int
    median: int | None
    largest: int | None
    share_long: Decimal | None
    """Share of requests over the threshold, of one."""
    threshold: int = LONG_CONTEXT


def request_sizes(requests: Iterable[Sent], threshold: int = LONG_CONTEXT) -> RequestSizes:
    """The distribution of request sizes: lower median, largest, share over a threshold.

    Units    tokens of input, cached parts included.
    """
    sizes = sorted(request.context for request in requests if request.context is not None)
    if not sizes:
        return RequestSizes(requests=0, median=None, largest=None, share_long=None, threshold=threshold)
    long = sum(size > threshold for size in sizes)
    return RequestSizes(
        requests=len(sizes),
        median=sizes[(len(sizes) - 1) // 2],
        largest=sizes[-1],
        share_long=Decimal(long) / Decimal(len(sizes)),
        threshold=threshold,
    )


def input_by_section(whole: int | None, sections: Mapping[str, int | None]) -> dict[str, int | None]:
    """Input split into the prompt sections that are told; what nobody tells is `unknown`, never spread over others.

    Shapes   input of a request, section (`system`, `tools`, `history`, …) → tokens → the same with `unknown`.
    Adds     the sections and `unknown` sum to the input. Sections that exceed it are no statement: all is unknown.
    """
    told = {name: count for name, count in sections.items() if count is not None and count >= 0}
    if whole is None:
        return {**told, UNKNOWN: None}
    rest = whole - sum(told.values())
    return {**told, UNKNOWN: rest} if rest >= 0 else {UNKNOWN: whole}


SECTIONS: Mapping[str, str] = {
    Anatomy.PROMPT_SYSTEM: "system",
    Anatomy.PROMPT_TOOLS: "tools",
    Anatomy.PROMPT_HISTORY: "history",
}
"""Detail of a call → the section of its prompt."""


def sections_of(requests: Iterable[tuple[int | None, Mapping[str, int]]]) -> dict[str, int]:
    """The input of requests by prompt section, what nobody tells as `unknown`.

    Shapes   (input, details) of n calls → section → tokens; empty where no request tells its input. The sections and
             `unknown` sum to the input of the requests that tell it.
    """
    sums: dict[str, int] = {}
    for whole, details in requests:
        if whole is None:
            continue
        told = {name: details.get(detail) for detail, name in SECTIONS.items()}
        for name, tokens in input_by_section(whole, told).items():
            sums[name] = sums.get(name, 0) + (tokens or 0)
    return {name: sums[name] for name in (*SECTIONS.values(), UNKNOWN) if name in sums}


@dataclass(slots=True, frozen=True)
class Drafts:
    """Speculative decoding as requests tell it: tokens drafted and accepted."""

    requests: int
    drafted: int
    accepted: int

    @property
    def acceptance(self) -> Decimal:
        """Accepted tokens per drafted one."""
        return Decimal(self.accepted) / Decimal(self.drafted)


def drafts_of(details: Iterable[Mapping[str, int]]) -> Drafts | None:
    """The drafts of requests added up; None where no request tells both counts, or nothing was drafted."""
    told = [
        (each[Anatomy.DRAFTED], each[Anatomy.ACCEPTED])
        for each in details
        if Anatomy.DRAFTED in each and Anatomy.ACCEPTED in each
    ]
    drafted = sum(pair[0] for pair in told)
    return Drafts(len(told), drafted, sum(pair[1] for pair in told)) if drafted else None
