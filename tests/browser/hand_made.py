"""A reader over a few thousand calls made by hand, for looking at pages without a database.

Every figure follows from PRICES and the loops below: a test can work out the totals on its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from models.core.errors import BadInput
from models.core.money import exact_cost, plain
from models.core.quality import Coverage, Example, Finding, FindingKind, Quality, Unmetered
from models.core.queries import CallPage, CallQuery, CostQuery, CostRow, Costs, Project, SpanNode, Status, TraceTree
from models.core.time import rfc3339
from models.core.vocabulary import BUCKETS, CostBasis, Granularity

NOW = datetime(2026, 11, 20, 10, 42, 7, tzinfo=UTC)
FIRST = datetime(2026, 10, 1, tzinfo=UTC)

PRICES: Mapping[str, Mapping[str, str] | None] = {
    "claude-sonnet-4-5": {
        "input": "3",
        "cache_read": "0.30",
        "cache_write_5m": "3.75",
        "output": "15",
        "reasoning": "15",
    },
    "gpt-5": {"input": "1.25", "cache_read": "0.125", "output": "10", "reasoning": "10"},
    "gemini-2.5-pro": {"input": "1.25", "cache_read": "0.31", "output": "10", "reasoning": "10"},
    "gpt-oss-120b": {"input": "0.15", "output": "0.60"},
    "llama-3.3-70b": {"input": "0.59", "output": "0.79"},
    "qwen3-coder-next": None,
}
"""USD per million tokens; None: no price."""

# fmt: off
# agent path, team, model, calls a day, errors a day, tokens per call
WORK: tuple[tuple[str | None, str | None, str, int, int, Mapping[str, int]], ...] = (
    ("dev-coordinator", "payments", "claude-sonnet-4-5", 4, 0,
     {"input": 90_000, "cache_read": 2_000_000, "output": 60_000}),
    ("dev-coordinator/coder", "payments", "claude-sonnet-4-5", 12, 1,
     {"input": 400_000, "cache_read": 9_000_000, "cache_write_5m": 600_000, "output": 250_000, "reasoning": 90_000}),
    ("dev-coordinator/researcher", "payments", "gemini-2.5-pro", 8, 0,
     {"input": 900_000, "cache_read": 3_000_000, "output": 200_000}),
    ("dev-coordinator/coder/test-runner", "payments", "gpt-oss-120b", 6, 2, {"input": 4_000_000, "output": 500_000}),
    ("support-desk", "support", "gpt-5", 3, 0, {"input": 100_000, "cache_read": 4_000_000, "output": 40_000}),
    ("support-desk/answerer", "support", "gpt-5", 14, 0,
     {"input": 700_000, "cache_read": 4_000_000, "output": 260_000}),
    ("kyc-analyst", "risk", "gemini-2.5-pro", 5, 0, {"input": 500_000, "cache_read": 0, "output": 300_000}),
    ("rag-indexer", None, "llama-3.3-70b", 9, 0, {"input": 6_000_000, "output": 10_000}),
    (None, None, "gpt-5", 1, 0, {"input": 800_000, "cache_read": 0, "output": 90_000}),
    ("dev-coordinator/coder", "payments", "qwen3-coder-next", 1, 0, {"input": 16_000, "output": 2_400}),
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """One call with everything that groups it."""

    call: Mapping[str, Any]
    start: datetime
    end: datetime
    keys: Mapping[str, str | None]
    tokens: Mapping[str, int]
    cost: Decimal | None
    uncached: Decimal | None


def made_calls(first: datetime = FIRST, now: datetime = NOW) -> list[Made]:
    """The same work every day, growing by 1 % a day; each day is one trace per team."""
    calls: list[Made] = []
    for day in range((now - first).days + 1):
        for at, (path, team, model, each, failed, tokens) in enumerate(WORK):
            for number in range(each):
                begin = first + timedelta(days=day, hours=8, minutes=6 * number + at, seconds=7 * at)
                end = begin + timedelta(seconds=20 + 3 * at)
                if end > now:
                    continue
                grown = {bucket: count * (100 + day) // 100 for bucket, count in tokens.items()}
                is_error = number < failed
                calls.append(
                    _made(
                        begin,
                        end,
                        path,
                        team,
                        model,
                        dict.fromkeys(grown, 0) if is_error else grown,
                        is_error,
                        day,
                        number,
                    )
                )
    return calls


def _made(
    begin: datetime,
    end: datetime,
    path: str | None,
    team: str | None,
    model: str,
    tokens: Mapping[str, int],
    is_error: bool,
    day: int,
    number: int,
) -> Made:
    prices = PRICES[model]
    trace_id = sha256(f"{day} {team}".encode()).hexdigest()[:32]
    span_id = sha256(f"{day} {path} {model} {number}".encode()).hexdigest()[:16]
    lines = None
    cost = uncached = None
    if prices is not None:
        costs = {bucket: exact_cost(count, Decimal(prices[bucket])) for bucket, count in tokens.items() if count}
        cost = sum(costs.values(), Decimal(0))
        uncached = sum(
            (
                exact_cost(count, Decimal(prices["input" if bucket.startswith("cache") else bucket]))
                for bucket, count in tokens.items()
            ),
            Decimal(0),
        )
        lines = [
            {
                "bucket": bucket,
                "quantity": tokens[bucket],
                "price_per_m": prices[bucket],
                "list_cost": plain(own),
                "billed_cost": plain(own),
                "effective_cost": plain(own),
            }
            for bucket, own in costs.items()
        ]
    agent = path.rsplit("/", 1)[-1] if path else None
    provider = model.split("-")[0]
    keys = {
        "team": team, "agent": agent, "agent_path": path, "model": model, "provider": provider,
        "task": f"PR-{8100 + day * 3 + number % 3}", "session": f"conv_{day}", "service": "atlas", "operation": "chat",
    }  # fmt: skip
    call = {
        **keys,
        "trace_id": trace_id,
        "span_id": span_id,
        "start": rfc3339(begin),
        "end": rfc3339(end),
        "duration_ms": (end - begin).total_seconds() * 1000,
        "status": "error" if is_error else "ok",
        "tokens": {bucket.value: tokens.get(bucket.value) for bucket in BUCKETS},
        "usage_source": "absent" if is_error else "reported",
        "convention": "inclusive",
        "convention_reason": "opentelemetry.instrumentation.anthropic counts the cached part inside",
        "instrumentation": "opentelemetry.instrumentation.anthropic@0.48",
        "inferred": ["task"],
        "provenance": {
            bucket: {"span_id": span_id, "attribute": f"gen_ai.usage.{bucket}_tokens", "value": count}
            for bucket, count in tokens.items()
        },
        "details": {"prompt_system": tokens.get("cache_read", 0) // 4, "prompt_tools": tokens.get("cache_read", 0) // 8}
        | {"drafted": 100, "accepted": 60},
        "charge": {
            "price_status": "priced" if cost is not None else "unpriced",
            "unpriced_reason": None if cost is not None else f"no rate for {model}",
            "price_book": "list prices, valid from 1 Oct 2026" if cost is not None else None,
            "list_cost": plain(cost),
            "billed_cost": plain(cost),
            "effective_cost": plain(cost),
            "cost_without_cache": plain(uncached),
            "lines": lines or [],
        },
    }  # fmt: skip
    return Made(call, begin, end, keys, tokens, cost, uncached)


def summed(
    calls: Iterable[Made], keys: Mapping[str, str | None] | None = None, time: datetime | None = None
) -> CostRow:
    """One row of the answer; null where nothing is priced."""
    chosen = list(calls)
    priced = [call.cost for call in chosen if call.cost is not None]
    cost = sum(priced, Decimal(0)) if priced else None
    tokens: dict[str, int] = {}
    for call in chosen:
        for bucket, count in call.tokens.items():
            tokens[bucket] = tokens.get(bucket, 0) + count
    without = sum((call.uncached or Decimal(0) for call in chosen if call.cost is not None), Decimal(0))
    unpriced = [call for call in chosen if call.cost is None]
    return CostRow(
        keys=dict(keys or {}),
        time=time,
        calls=len(chosen),
        errors=sum(call.call["status"] == "error" for call in chosen),
        tasks=len({call.keys["task"] for call in chosen}),
        tokens=tokens,
        list_cost=cost,
        billed_cost=cost,
        effective_cost=cost,
        cache_savings=None if cost is None else without - cost,
        unpriced_calls=len(unpriced),
        unpriced_tokens=sum(sum(call.tokens.values()) for call in unpriced),
    )


def quality_of(calls: Sequence[Made], start: datetime, end: datetime) -> Quality:
    """All calls in full but one, which tells no usage; its like are the others of its model."""
    if not calls:
        return Quality(start=start, end=end, calls=0, is_all=True, coverage=(), findings=(), unmetered=())
    seen = Example(calls[0].call["trace_id"], calls[0].call["span_id"])
    scope = "openinference.instrumentation.openai@0.1.66"
    coverage = Coverage(
        instrumentation=scope,
        spans=3 * len(calls),
        calls=len(calls),
        reported=len(calls) - 1,
        partial=0,
        estimated=0,
        absent=1,
        refused=0,
        ambiguous=0,
        without_agent=0,
    )
    absent = Finding(
        kind=FindingKind.ABSENT,
        what=scope,
        count=1,
        examples=(seen,),
        said="1 call carries no token counts",
        advice="Ask for usage in streams.",
    )
    left_out = Finding(
        kind=FindingKind.ROLLUP, what="all", count=7, examples=(), said="7 spans", advice="", is_problem=False
    )
    estimate = Unmetered(
        agent="planner",
        model="gpt-5",
        calls=1,
        peers=12,
        basis="agent and model",
        tokens=91_962,
        tokens_low=1_850,
        tokens_high=184_000,
        cost=Decimal("0.0456"),
        cost_low=Decimal("0.0012"),
        cost_high=Decimal("0.091"),
        examples=(seen,),
    )
    return Quality(
        start=start,
        end=end,
        calls=len(calls),
        is_all=True,
        coverage=(coverage,),
        findings=(absent, left_out),
        unmetered=(estimate,),
    )


class HandMadeReader:
    """Answers from a list of calls, as the store does from its tables."""

    def __init__(self, calls: Sequence[Made], empty_first: bool = False) -> None:
        self.made = list(calls)
        self.atlas = Project(id=1, name="atlas", is_demo=False, first_charge=FIRST, last_charge=calls[-1].end)
        self.empty = Project(id=2, name="fresh", is_demo=False)
        self.sample = Project(
            id=3, name="demo", is_demo=True, first_charge=FIRST, last_charge=FIRST + timedelta(days=9, hours=10)
        )
        self.listed = [self.atlas, self.empty, self.sample]

    def projects(self) -> Sequence[Project]:
        return self.listed

    def status(self) -> Status:
        return Status(
            spans_stored=9, spans_pending=0, calls=len(self.made), lag_seconds=3.0, priced_through=NOW, version="0"
        )

    def _of(self, query: CostQuery | CallQuery) -> list[Made]:
        wanted: dict[str, set[str | None]] = {}
        for name, value in query.filters:
            wanted.setdefault(name, set()).add(value)
        if query.projects == (2,):
            return []
        start, end = query.start or FIRST, query.end or NOW
        if query.projects == (3,):
            end = min(end, FIRST + timedelta(days=10))
        return [
            call
            for call in self.made
            if start <= call.end < end and all(call.keys.get(name) in values for name, values in wanted.items())
        ]

    def costs(self, query: CostQuery) -> Costs:
        for name in query.group_by:
            if name == "bucket":
                raise BadInput("group_by=bucket is not made by hand")
        chosen = self._of(query)
        groups: dict[tuple[Any, ...], list[Made]] = {}
        for call in chosen:
            time = None
            if query.granularity in (Granularity.DAY, Granularity.MONTH):
                time = call.end.replace(hour=0, minute=0, second=0, microsecond=0)
                time = time.replace(day=1) if query.granularity is Granularity.MONTH else time
            groups.setdefault((time, *(call.keys.get(name) for name in query.group_by)), []).append(call)
        rows = [summed(calls, dict(zip(query.group_by, key[1:], strict=True)), key[0]) for key, calls in groups.items()]
        rows.sort(key=lambda row: -(row.cost(CostBasis.EFFECTIVE) or Decimal(0)))
        first = int(query.cursor or 0)
        more = first + query.limit < len(rows)
        return Costs(
            query=query,
            rows=rows[first : first + query.limit],
            # Distinct tasks are counted per row; totals have none, as in the store.
            totals=replace(summed(chosen), tasks=None),
            priced_through=NOW,
            next_cursor=str(first + query.limit) if more else None,
        )

    def calls(self, query: CallQuery) -> CallPage:
        chosen = [
            call
            for call in sorted(self._of(query), key=lambda call: call.end, reverse=True)
            if (query.trace_id is None or call.call["trace_id"] == query.trace_id.hex())
            and not (query.unpriced and call.cost is not None)
        ]
        first = int(query.cursor or 0)
        more = first + query.limit < len(chosen)
        return CallPage(
            calls=[call.call for call in chosen[first : first + query.limit]],
            next_cursor=str(first + query.limit) if more else None,
        )

    def quality(self, projects: Sequence[int], start: datetime, end: datetime) -> Quality:
        return quality_of(self._of(CallQuery(projects=tuple(projects), start=start, end=end)), start, end)

    def trace(self, project_id: int, trace_id: bytes) -> TraceTree | None:
        chosen = [call for call in self.made if call.call["trace_id"] == trace_id.hex()]
        if not chosen:
            return None
        nodes: list[SpanNode] = []
        by_agent: dict[str, list[Made]] = {}
        for call in chosen:
            by_agent.setdefault(call.keys["agent_path"] or "no agent", []).append(call)
        for path, calls in sorted(by_agent.items(), key=lambda pair: pair[0]):
            depth = path.count("/")
            below = [call for other, own in by_agent.items() if other.startswith(path) for call in own]
            nodes.append(_node(path.rsplit("/", 1)[-1], depth, below, None))
            nodes += [_node("chat", depth + 1, [call], call) for call in calls]
        whole = summed(chosen)
        return TraceTree(
            project="atlas",
            trace_id=trace_id.hex(),
            start=min(call.start for call in chosen),
            end=max(call.end for call in chosen),
            spans=nodes,
            calls=len(chosen),
            effective_cost=whole.effective_cost,
            unpriced_calls=whole.unpriced_calls or 0,
        )

    def recent_traces(self, project_id: int, start: datetime, end: datetime, limit: int) -> Sequence[TraceTree]:
        if project_id == 2:
            return []
        ids = {call.call["trace_id"] for call in self.made if start <= call.end < end}
        trees = [tree for trace_id in ids if (tree := self.trace(project_id, bytes.fromhex(trace_id))) is not None]
        trees.sort(key=lambda tree: -(tree.effective_cost or Decimal(0)))
        return trees[:limit]


def _node(name: str, depth: int, below: Sequence[Made], own: Made | None) -> SpanNode:
    inclusive = summed(below).effective_cost
    return SpanNode(
        span_id=own.call["span_id"] if own else sha256(f"{name} {depth} {below[0].start}".encode()).hexdigest()[:16],
        parent_span_id=None,
        depth=depth,
        name=name,
        signal="traces",
        start=min(call.start for call in below),
        end=max(call.end for call in below),
        status=own.call["status"] if own else "ok",
        instrumentation="opentelemetry.instrumentation.anthropic@0.48",
        agent=own.keys["agent"] if own else name,
        role="call" if own else "span",
        call=own.call if own else None,
        self_cost=own.cost if own else Decimal(0),
        inclusive_cost=inclusive,
    )
