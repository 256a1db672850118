"""Usage as a payload words it, made disjoint: which count contains which, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from models.core.telemetry import TokenCounts
from models.core.values import value
from models.core.vocabulary import READ_FROM_CACHE

INCLUSIVE = "inclusive"
EXCLUSIVE = "exclusive"
UNKNOWN = "unknown"

QUANTITIES = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "tool_use",
    "output",
    "reasoning",
    "total",
)
"""Names of the raw counts of a Usage, in a fixed order."""

TRUST_FAULTY = 1
"""The instrumentation is known to get a count wrong."""
TRUST_FRAMEWORK = 2
"""A framework or instrumentation repeats what its client told it."""
TRUST_PROVIDER = 3
"""The provider's own usage object, or the provider's SDK that flattened it."""


@value
class Usage:
    """Counts of one request as one description words them; None where it has no word for it.

    Units    tokens. `input` contains cached tokens under the inclusive convention and lacks them under the
             exclusive one. `total` is the provider's own sum.
    """

    input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    tool_use: int | None = None
    output: int | None = None
    reasoning: int | None = None
    total: int | None = None
    convention: str = UNKNOWN
    reason: str = ""
    reasoning_inside: bool = True
    """Whether `output` contains `reasoning` by the convention; `contains_reasoning` is what holds."""
    tool_use_inside: bool = False
    """Whether `input` contains `tool_use`."""
    details: Mapping[str, int] = field(default_factory=dict[str, int])
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Quantity → attribute it was read from."""
    span_id: bytes = b""
    trust: int = TRUST_FRAMEWORK
    disagreements: Sequence[str] = ()
    """Where this description contradicts itself, such as parts that do not sum to its total."""
    spans_iterations: bool = False
    """Whether the counts hold iterations that the top level of the usage object, and so its copies, leave out."""
    left_out: Sequence[str] = ()
    """Requests to other models inside this one, with their counts: they have other prices and are in no count here."""

    @property
    def is_empty(self) -> bool:
        """Whether neither side of the request was counted."""
        return (
            self.input is None
            and self.output is None
            and self.cache_read is None
            and self.cache_write is None
            and self.reasoning is None
        )

    @property
    def write(self) -> int | None:
        """Cache writes of any lifetime."""
        if self.cache_write is not None:
            return self.cache_write
        if self.cache_write_5m is None and self.cache_write_1h is None:
            return None
        return (self.cache_write_5m or 0) + (self.cache_write_1h or 0)

    @property
    def is_exclusive(self) -> bool:
        """Whether `input` lacks the cached tokens; numbers that cannot be inclusive overrule the convention."""
        if self.input is not None and self.input < (self.cache_read or 0) + (self.write or 0):
            return True
        return self.convention == EXCLUSIVE

    @property
    def uncached(self) -> int | None:
        """Input processed afresh, where this description alone can tell."""
        if self.input is None or self.is_exclusive:
            return self.input
        if self.cache_read is None and self.write is None:
            return None
        return self.input - (self.cache_read or 0) - (self.write or 0) - self._inner_tool_use

    @property
    def whole_input(self) -> int | None:
        """All input with its cached parts (without Gemini's tool prompt), where this description can tell."""
        if self.input is None:
            return None
        if not self.is_exclusive:
            return self.input - self._inner_tool_use
        if self.cache_read is None and self.write is None:
            return None
        return self.input + (self.cache_read or 0) + (self.write or 0)

    @property
    def contains_reasoning(self) -> bool:
        """Whether `output` contains `reasoning`; a total that has it beside the output overrules the convention."""
        if not self.reasoning or self.total is None or self.input is None or self.output is None:
            return self.reasoning_inside
        whole = self.whole_input if self.is_exclusive and self.whole_input is not None else self.input
        return self.reasoning_inside and self.total != whole + self.output + self.reasoning

    @property
    def whole_output(self) -> int | None:
        """All output with its reasoning."""
        if self.output is None or self.contains_reasoning:
            return self.output
        return self.output + (self.reasoning or 0)

    @property
    def detail(self) -> int:
        """How many quantities are told; ranks descriptions of equal trust."""
        return sum(getattr(self, name) is not None for name in QUANTITIES)

    @property
    def _inner_tool_use(self) -> int:
        return (self.tool_use or 0) if self.tool_use_inside else 0

    def resolved(self) -> "Usage":
        """The same counts with the convention that is used in the end and why."""
        if self.input is not None and self.input < (self.cache_read or 0) + (self.write or 0):
            if self.convention == EXCLUSIVE:
                return self
            told = (self.cache_read or 0) + (self.write or 0)
            return replace(
                self,
                convention=EXCLUSIVE,
                reason=f"input {self.input} is less than its cached tokens {told}, so it cannot contain them",
            )
        return self


@value
class Combined:
    """Disjoint counts of one request out of all its descriptions."""

    tokens: TokenCounts
    convention: str
    reason: str
    details: Mapping[str, int]
    origins: Mapping[str, tuple[bytes, str, int]]
    """Quantity → (span, attribute, value) that it was taken from."""
    disagreements: Sequence[str] = ()


def combine(descriptions: Sequence[Usage]) -> Combined:
    """Take each quantity from the description that knows it best and make the buckets disjoint.

    Shapes   n ≥ 1 descriptions of one request → one set of counts, whatever their order.
    Adds     a bucket that nobody tells apart stays in the one that contains it and is 0 itself; under the exclusive
             convention a cached bucket that nobody tells is None, because nothing contains it.
    """
    ranked = [usage.resolved() for usage in descriptions if not usage.is_empty]
    if len(ranked) > 1:
        ranked.sort(key=_rank)
    if not ranked:
        reason = "no description has counts"
        return Combined(tokens=TokenCounts(), convention=UNKNOWN, reason=reason, details={}, origins={})
    origins: dict[str, tuple[bytes, str, int]] = {}

    def pick(name: str) -> int | None:
        for usage in ranked:
            count = getattr(usage, name)
            if count is not None:
                origins[name] = (usage.span_id, usage.origins.get(name, name), count)
                return count
        return None

    base = next((usage for usage in ranked if usage.input is not None), ranked[0])
    read, write = pick("cache_read"), pick("cache_write")
    five, hour = pick("cache_write_5m"), pick("cache_write_1h")
    if write is None and (five is not None or hour is not None):
        write = (five or 0) + (hour or 0)
    tool = pick("tool_use")
    uncached = _uncached(base, ranked, read, write, tool)
    if base.input is not None:
        origins["input"] = (base.span_id, base.origins.get("input", "input"), base.input)
    contained = 0 if (base.input is not None and not base.is_exclusive) else None
    five, hour, unknown = _lifetimes(write if write is not None else contained, five, hour)
    output, reasoning = _output(ranked, origins, pick("reasoning"))
    details: dict[str, int] = {}
    for usage in reversed(ranked):
        # A zero takes back no count that another description tells.
        details.update((name, count) for name, count in usage.details.items() if count or name not in details)
    tokens = TokenCounts(
        input=uncached,
        cache_read=read if read is not None else contained,
        cache_write_5m=five,
        cache_write_1h=hour,
        cache_write_unknown=unknown,
        tool_use_input=tool if tool is not None else (0 if base.input is not None else None),
        output=output,
        reasoning=reasoning,
    )
    return Combined(
        tokens=tokens,
        convention=_convention(base),
        reason=base.reason,
        details=_apart(details, tokens, base.is_exclusive) if details else details,
        origins=origins,
        disagreements=_disagreements(ranked) if len(ranked) > 1 else base.disagreements,
    )


def _rank(usage: Usage) -> tuple[object, ...]:
    """Best first: trust, then iterations, then detail, then the later of two snapshots, which counted more output."""
    told = (not usage.spans_iterations, -usage.detail, -(usage.output or 0))
    return (-usage.trust, *told, usage.span_id, sorted(usage.origins.items()))


def _uncached(
    base: Usage, ranked: Sequence[Usage], read: int | None, write: int | None, tool: int | None
) -> int | None:
    if base.input is None or base.is_exclusive:
        return base.input
    own = base.uncached
    if own is None and len(ranked) > 1:
        known = next((usage.uncached for usage in ranked if usage.uncached is not None), None)
        if known is not None:
            return known
    inner = tool if base.tool_use_inside and tool is not None else 0
    rest = base.input - (read or 0) - (write or 0) - inner
    return rest if rest >= 0 else own if own is not None else base.input


def _lifetimes(write: int | None, five: int | None, hour: int | None) -> tuple[int | None, int | None, int | None]:
    """Cache writes as (5 minutes, 1 hour, unknown): two lifetimes exist, so one of them and the sum give the other."""
    if write is None:
        return None, None, None
    if five is None and hour is None:
        return 0, 0, write
    if five is None:
        five = max(write - (hour or 0), 0)
    if hour is None:
        hour = max(write - five, 0)
    return five, hour, max(write - five - hour, 0)


def _output(
    ranked: Sequence[Usage], origins: dict[str, tuple[bytes, str, int]], reasoning: int | None
) -> tuple[int | None, int | None]:
    """Output without reasoning, and reasoning."""
    best = next((usage for usage in ranked if usage.output is not None), None)
    if best is None or best.output is None:
        return None, reasoning if reasoning else 0
    origins["output"] = (best.span_id, best.origins.get("output", "output"), best.output)
    if reasoning is None:
        return best.output, 0
    # The total that decides may stand in a description without a word for reasoning.
    counted = best if best.reasoning is not None else replace(best, reasoning=reasoning)
    whole = best.output if counted.contains_reasoning else best.output + reasoning
    if whole < reasoning:
        return best.output, reasoning
    return whole - reasoning, reasoning


def _apart(told: Mapping[str, int], tokens: TokenCounts, is_exclusive: bool) -> dict[str, int]:
    """Counts priced apart, those of fresh input without what of them was read from the cache.

    Providers that count audio and images apart count them in the whole prompt. Beside cached tokens such a part keeps
    its cached one, 0 included; where that is not known it is left out, and the part stays whole: rating then prices
    the call only where neither has a rate of its own.
    """
    found = {name: count for name, count in sorted(told.items()) if count}
    if not tokens.cache_read:
        return found
    if is_exclusive:
        # The parts lie beside one another as they are told; a cached one that is told to be nothing is known.
        known = {
            cached.value: told[cached.value]
            for fresh, cached in READ_FROM_CACHE.items()
            if fresh.value in found and cached.value in told
        }
        return found | known
    for fresh, cached in READ_FROM_CACHE.items():
        whole = found.get(fresh.value)
        if whole is None:
            continue
        found.pop(cached.value, None)
        part = _cached_part(whole, told.get(cached.value), tokens.input, tokens.cache_read)
        if part is not None:
            found |= {fresh.value: whole - part, cached.value: part}
    return found


def _cached_part(whole: int, told: int | None, fresh: int | None, read: int) -> int | None:
    """How much of a part of the prompt was read from the cache; None where more than one answer is possible."""
    if told is not None:
        return told if told <= min(whole, read) else None
    if fresh is None:
        return None
    # What does not fit into the fresh input was read, and no more than what was read.
    least, most = max(whole - fresh, 0), min(whole, read)
    return least if least == most else None


def _convention(base: Usage) -> str:
    if base.convention == UNKNOWN and base.cache_read is None and base.write is None:
        return "unknown: no cached tokens told"
    if base.convention == UNKNOWN:
        return "unknown, read as inclusive"
    return base.convention


def _disagreements(ranked: Sequence[Usage]) -> tuple[str, ...]:
    """Totals on which descriptions of one request differ, from one another or in themselves."""
    said = sorted({text for usage in ranked for text in usage.disagreements})
    for name, text in (("whole_input", "input"), ("whole_output", "output")):
        values = {getattr(usage, name) for usage in ranked} - {None}
        if len(values) > 1:
            said.append(f"{text}: {', '.join(str(value) for value in sorted(values))}")
    return tuple(said)
