"""How long one trace of 50,000 spans takes to become calls, and the memory: python -P tests/bench/derive_calls.py."""

import resource
import sys
import time

from ingest.calls import derive_calls
from models.core.telemetry import Span

SPANS = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
TURN = 5
"""Spans per turn: a step, a framework's call, the SDK's call below it, an HTTP request, a tool."""


def spans(number: int) -> list[Span]:
    """One agent's trace: a root, then turns one after the other, each a child of the root."""
    found: list[Span] = []

    def add(name: str, scope: str, attributes: dict[str, object], parent: int | None, start: int, end: int) -> int:
        identity = len(found) + 1
        found.append(
            Span(
                trace_id=b"t" * 16,
                span_id=identity.to_bytes(8, "big"),
                parent_span_id=parent.to_bytes(8, "big") if parent else None,
                name=name,
                start_ns=start,
                end_ns=end,
                scope_name=scope,
                resource={"service.name": "bench"},
                attributes=attributes,
            )
        )
        return identity

    base = 1_790_000_000_000_000_000
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner", "session.id": "s-1"}
    root = add("invoke_agent planner", "pydantic-ai", agent, None, base, base + number * 10**6)
    for turn in range((number - 1) // TURN):
        start = base + turn * 10**7
        read, write, fresh = 90_000 + turn, 400 + turn % 7, 1_000 + turn % 1_013
        model = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude"}
        counts = {
            **model,
            "gen_ai.response.id": f"msg_{turn:024d}",
            "gen_ai.usage.input_tokens": read + write + fresh,
            "gen_ai.usage.cache_read.input_tokens": read,
            "gen_ai.usage.output_tokens": 100 + turn % 17,
        }
        step = add("step", "pydantic-ai", {"gen_ai.operation.name": "step"}, root, start, start + 9_000_000)
        outer = {**counts, "gen_ai.usage.cache_creation.input_tokens": write}
        call = add("chat claude", "pydantic-ai", outer, step, start, start + 8_000_000)
        inner = {**counts, "gen_ai.usage.cache_write.input_tokens": write}
        sdk = add("anthropic.messages.create", "com.anthropic.sdk.python", inner, call, start + 1, start + 7_999_999)
        add("POST", "opentelemetry.instrumentation.httpx", {"http.method": "POST"}, sdk, start + 2, start + 7_999_998)
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
        add("execute_tool search", "pydantic-ai", tool, step, start + 8_000_000, start + 9_000_000)
    return found


def main() -> None:
    """Time one derivation and print what it took."""
    trace = spans(SPANS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    derived = derive_calls(trace)
    seconds, busy = time.perf_counter() - started, time.process_time() - worked
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{len(trace)} spans, {len(derived.calls)} calls, {len(derived.suppressed)} left out")
    print(f"{seconds:.2f} s, {busy:.2f} s of them on the processor, +{grown:.0f} MiB")


if __name__ == "__main__":
    main()
