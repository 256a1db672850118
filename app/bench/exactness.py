"""How wrong costs are: eleven calls whose exact bill is known, sent for real, and the conformance corpus."""

import importlib
import os
import time
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import ModuleType

from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from app.bench.client import BenchFailed, Order, send_requests
from app.bench.instance import Instance
from app.bench.payloads import Template, put, request_of
from app.bench.watch import Backlog

LIST = {
    "claude-sonnet-4-20250514": ("3", "0.30", "3.75", "15"),
    "claude-3-5-haiku-20241022": ("0.80", "0.08", "1", "4"),
    "claude-haiku-4-5-20251001": ("1", "0.10", "1.25", "5"),
    "gpt-4o-2024-08-06": ("2.5", "1.25", "0", "10"),
    "gpt-4.1-2025-04-14": ("2", "0.5", "0", "8"),
    "gemini-2.5-pro": ("2.5", "0.25", "0", "15"),
}
"""USD per million of input, cache read, cache write and output: the public lists; Gemini's above 200,000 tokens."""
FLAT = {
    "input": "3",
    "cache_read": "0.30",
    "cache_write_5m": "3.75",
    "cache_write_1h": "6",
    "cache_write_unknown": "3.75",
    "output": "15",
    "reasoning": "15",
}
"""One price list for every case of the corpus, so that only counting can differ."""


@dataclass(slots=True, frozen=True)
class Case:
    """One call and how its span counts."""

    name: str
    provider: str
    model: str
    fresh: int
    read: int
    write: int
    output: int
    is_inclusive: bool
    """Whether input_tokens contains what was read and written."""

    @property
    def exact(self) -> Fraction:
        """The bill in USD."""
        fresh, read, write, output = (Fraction(price) for price in LIST[self.model])
        return (self.fresh * fresh + self.read * read + self.write * write + self.output * output) / 1_000_000


SONNET, HAIKU_3, HAIKU = "claude-sonnet-4-20250514", "claude-3-5-haiku-20241022", "claude-haiku-4-5-20251001"
CASES = (
    Case("Sonnet 4, no cache", "anthropic", SONNET, 1000, 0, 0, 500, True),
    Case("Sonnet 4, read and written, inclusive", "anthropic", SONNET, 1000, 20000, 5000, 500, True),
    Case("Sonnet 4, read and written, exclusive", "anthropic", SONNET, 1000, 20000, 5000, 500, False),
    Case("Haiku 3.5, read only, exclusive", "anthropic", HAIKU_3, 500, 10000, 0, 300, False),
    Case("Haiku 3.5, read and written, inclusive", "anthropic", HAIKU_3, 500, 10000, 2048, 300, True),
    Case("Haiku 4.5, no cache", "anthropic", HAIKU, 1000, 0, 0, 500, True),
    Case("Haiku 4.5, read and written, inclusive", "anthropic", HAIKU, 1000, 20000, 5000, 500, True),
    Case("Haiku 4.5, read and written, exclusive", "anthropic", HAIKU, 1000, 20000, 5000, 500, False),
    Case("gpt-4o, cached, inclusive", "openai", "gpt-4o-2024-08-06", 3808, 8192, 0, 700, True),
    Case("gpt-4.1, cached, inclusive", "openai", "gpt-4.1-2025-04-14", 4904, 4096, 0, 1000, True),
    Case("Gemini 2.5 Pro, 250,000 tokens", "gcp.gemini", "gemini-2.5-pro", 250000, 0, 0, 1000, True),
)


def cases_body(*, usage_on_root: bool) -> tuple[bytes, list[str]]:
    """All cases as one body, a trace and a session each; returns their sessions too. Roots may repeat the usage."""
    body = TracesData()
    now = time.time_ns() - 60 * 10**9
    run = os.urandom(4).hex()
    sessions = [f"cost-check-{run}-{number}" for number in range(len(CASES))]
    for case, session in zip(CASES, sessions, strict=True):
        found = body.resource_spans.add()
        put(found.resource.attributes, "service.name", f"cost-check-{run}")
        spans = found.scope_spans.add().spans
        trace, root, child = os.urandom(16), os.urandom(8), os.urandom(8)
        usage: dict[str, object] = {
            "gen_ai.usage.input_tokens": case.fresh + (case.read + case.write if case.is_inclusive else 0),
            "gen_ai.usage.output_tokens": case.output,
            "gen_ai.usage.cache_read.input_tokens": case.read,
            "gen_ai.usage.cache_creation.input_tokens": case.write,
        }
        model: dict[str, object] = {"gen_ai.request.model": case.model, "gen_ai.response.model": case.model}
        shared: dict[str, object] = {"gen_ai.provider.name": case.provider, "session.id": session}
        plans = (
            (root, b"", 5, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "x"}),
            (child, root, 1, {"gen_ai.operation.name": "chat", "gen_ai.system": case.provider, **model, **usage}),
        )
        for span_id, parent, seconds, facts in plans:
            span = spans.add(
                trace_id=trace, span_id=span_id, parent_span_id=parent, name=str(facts["gen_ai.operation.name"])
            )
            span.kind = Span.SpanKind.SPAN_KIND_CLIENT if parent else Span.SpanKind.SPAN_KIND_INTERNAL
            span.start_time_unix_nano, span.end_time_unix_nano = now, now + seconds * 10**9
            more = model | usage if usage_on_root and not parent else {}
            for key, value in (facts | shared | more).items():
                put(span.attributes, key, value)
    return body.SerializeToString(), sessions


def measure_cases(instance: Instance, backlog: Backlog) -> dict[str, float]:
    """Percent by which the eleven cases cost too much or too little, without and with the usage repeated on roots."""
    found: dict[str, float] = {}
    for usage_on_root, name in ((False, "cost cases"), (True, "cost cases, usage on the root too")):
        body, sessions = cases_body(usage_on_root=usage_on_root)
        templates = [Template(body, 2 * len(CASES), len(CASES))]
        send_requests(instance.port, templates, Order(connections=1), iter([(0, 0, request_of(body))]))
        backlog.settle(120)
        off: list[str] = []
        told_sum, exact_sum = Fraction(0), Fraction(0)
        for case, session in zip(CASES, sessions, strict=True):
            answer = instance.get("/api/v1/costs", filter=f"session:{session}", start="2026-01-01T00:00:00Z")
            cost = answer["totals"]["list_cost"]
            told = Fraction(Decimal(cost)) if cost is not None else Fraction(0)
            told_sum, exact_sum = told_sum + told, exact_sum + case.exact
            if told != case.exact:
                off.append(f"{case.name}: {cost} instead of {float(case.exact):.9f}")
        found[f"{name}: off"] = len(off)
        found[f"{name}: error %"] = float((told_sum / exact_sum - 1) * 100)
        if off:
            found |= {f"{name}: {line}": 1.0 for line in off}
    return found


def measure_corpus() -> dict[str, float]:
    """Percent of cost by which the corpus is counted wrongly, by one flat price list; {} without a source checkout."""
    try:
        golden: ModuleType = importlib.import_module("tests.golden.test_corpus")
    except ImportError:
        return {}
    wrong, exact, off = Decimal(0), Decimal(0), 0
    for case_id, case in golden.CASES.items():
        if case["expected"]["usage"] != "reported":
            continue
        told = golden.totals_of(golden.derived(case_id).calls)
        expected = golden.expected_totals(case_id)
        difference = _flat_cost(told) - _flat_cost(expected)
        wrong, exact, off = wrong + abs(difference), exact + _flat_cost(expected), off + (difference != 0)
    if not exact:
        raise BenchFailed("the corpus has no case with usage")
    return {"corpus: error %": float(wrong / exact * 100), "corpus: cases off": off, "corpus: cases": len(golden.CASES)}


def _flat_cost(totals: dict[str, int | None]) -> Decimal:
    return sum((Decimal(FLAT[name]) * count for name, count in totals.items() if count is not None), Decimal(0)) / 10**6
