"""OTLP bodies as agents send them: an invocation, then model and tool calls, with ids of their own per body."""

import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

MODELS = (
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-5"),
    ("openai", "gpt-4.1-mini"),
    ("gcp.gemini", "gemini-2.5-pro"),
)
WORDS = ("cost", "agent", "trace", "budget", "invoice", "prompt", "answer", "region", "query", "report", "latency")


def put(attributes, key: str, value: object) -> None:  # type: ignore[no-untyped-def]
    target = attributes.add(key=key).value
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, list):
        for item in value:
            target.array_value.values.add().string_value = item
    else:
        target.string_value = str(value)


def _prose(chance: random.Random, size: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(size // 6))


TRACE_MARK, SPAN_MARK, RESPONSE_MARK = b"\xf5JvTrace", b"\xf5JvS", "00jvresp"
"""With these begin the ids of a body made as a template, until `filled` gives it ids of its own."""


_numbers = itertools.count(int.from_bytes(os.urandom(8), "big") >> 1)


@dataclass(slots=True, frozen=True)
class Template:
    """A body whose ids are still to be put in."""

    body: bytes
    spans: int
    calls: int
    """Model calls within it."""


def templates(count: int, batch: int, content_bytes: int = 0, spread_days: int = 0) -> list[Template]:
    """Bodies that differ in everything, each of `batch` spans of the last hour, or each of one of the last days."""
    chance = random.Random(os.urandom(8))
    ages = [number % spread_days * 86_400 if spread_days else 0 for number in range(count)]
    bodies = [traces_body(chance, batch, content_bytes, is_template=True, age_seconds=age) for age in ages]
    return [Template(body, batch, body.count(b"gen_ai.response.id")) for body in bodies]


def trace_prefix(number: int) -> bytes:
    """The first eight bytes of every trace id of request `number`: another for each, and spread evenly."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big")


def filled(template: bytes, number: int) -> bytes:
    """The template as the body of request `number`: trace, span, response, session and tool ids are its own."""
    text = f"{number * 0x9E3779B1 % 2**32:08x}"
    return (
        template.replace(TRACE_MARK, trace_prefix(number))
        .replace(SPAN_MARK, (number * 0x85EBCA6B % 2**32).to_bytes(4, "big"))
        .replace(RESPONSE_MARK.encode(), text.encode())
    )


def fresh(template: bytes, chance: random.Random) -> bytes:
    """The template as a body that was never sent."""
    return filled(template, chance.getrandbits(63))


def request_of(body: bytes, headers: str = "") -> bytes:
    """A whole HTTP request."""
    head = "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
    return f"{head}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def fresh_requests(made_from: list[Template], headers: str = "") -> Iterator[tuple[int, int, bytes]]:
    """Requests never sent before, without end: (number, which template, bytes), the templates in turn."""
    wires = [request_of(template.body, headers) for template in made_from]
    for which in itertools.cycle(range(len(wires))):
        number = next(_numbers)
        yield number, which, filled(wires[which], number)


def same_again(made_from: list[Template], which: list[tuple[int, int]]) -> Iterator[tuple[int, int, bytes]]:
    """Requests as they were sent before."""
    for number, template in which:
        yield number, template, request_of(filled(made_from[template].body, number))


def traces_body(
    chance: random.Random, spans: int, content_bytes: int = 0, *, is_template: bool = False, age_seconds: int = 0
) -> bytes:
    """One body of `spans` spans: traces of an invocation and up to six pairs of model and tool call.

    Units    `content_bytes` of prompt and answer on every model call; 0 for none. About 0.9 KB per span without.
             Within the hour that ended `age_seconds` ago.
    """
    body = TracesData()
    now = time.time_ns() - age_seconds * 10**9
    left = spans
    while left:
        scope_spans = _resource(body, chance)
        trace_id, root = _id(chance, 16, TRACE_MARK, is_template), _id(chance, 8, SPAN_MARK, is_template)
        session, user = f"conv_{_name(chance, is_template)}", f"user-{chance.randrange(2000):04d}"
        agent = chance.choice(("researcher", "planner", "coder", "reviewer"))
        steps = [None, *(("chat", "tool")[i % 2] for i in range(2 * chance.randint(2, 6)))][:left]
        if spans == 1:
            steps = ["chat"]  # Alone is what somebody waits for: a call.
        left -= len(steps)
        start = now - chance.randrange(3600) * 10**9
        shared = {"gen_ai.conversation.id": session, "session.id": session, "user.id": user, "gen_ai.agent.name": agent}
        for step in steps:
            end = start + chance.randrange(20, 4000) * 1_000_000
            span = scope_spans.spans.add(trace_id=trace_id, start_time_unix_nano=start, end_time_unix_nano=end)
            span.status.code = Status.StatusCode.STATUS_CODE_OK
            span.kind = Span.SpanKind.SPAN_KIND_CLIENT if step == "chat" else Span.SpanKind.SPAN_KIND_INTERNAL
            if step is None:
                span.span_id, span.name = root, f"invoke_agent {agent}"
                facts = _invocation(chance)
            else:
                span.span_id, span.parent_span_id = _id(chance, 8, SPAN_MARK, is_template), root
                facts = _chat(chance, content_bytes, is_template) if step == "chat" else _tool(chance, is_template)
                span.name = f"{step} {facts.get('gen_ai.request.model', 'search')}"
                start = end
            for key, value in (facts | shared).items():
                put(span.attributes, key, value)
    return body.SerializeToString()


def _id(chance: random.Random, size: int, mark: bytes, is_template: bool) -> bytes:
    return mark + chance.randbytes(size - len(mark)) if is_template else chance.randbytes(size)


def _name(chance: random.Random, is_template: bool) -> str:
    mark = RESPONSE_MARK if is_template else f"{chance.getrandbits(32):08x}"
    return f"{mark}{chance.getrandbits(64):016x}"


def _resource(body: TracesData, chance: random.Random):  # type: ignore[no-untyped-def]
    resource_spans = body.resource_spans.add()
    team = chance.randrange(12)
    facts = {
        "service.name": f"svc-{team % 6}",
        "service.version": "1.4.2",
        "deployment.environment.name": "prod",
        "team": f"team-{team:02d}",
        "cost_center": f"cc-{team * 3:03d}",
        "host.name": "ip-10-0-3-17",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": "1.45.0",
        "process.pid": 4242,
        "cloud.region": "eu-west-1",
    }
    for key, value in facts.items():
        put(resource_spans.resource.attributes, key, value)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "opentelemetry.instrumentation.openai_v2", "2.4b0"
    return scope_spans


def _invocation(chance: random.Random) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.agent.id": "asst_5j66UpCpwteGg4YSxUnt7lPY",
        "app.feature": f"feature-{chance.randrange(9)}",
        "app.tenant": f"tenant-{chance.randrange(40)}",
        "app.release": "2026.11.2",
        "gen_ai.output.type": "text",
        "app.priority": chance.randrange(4),
        "app.retry": 0,
        "app.trigger": "http",
        "http.route": "/v1/run",
        "client.address": "10.2.3.4",
        "thread.id": 140123,
        "code.function.name": "run_agent",
    }


def _chat(chance: random.Random, content_bytes: int, is_template: bool) -> dict[str, object]:
    provider, model = chance.choice(MODELS)
    read = chance.choice((0, 1024, 4096, 12000))
    facts: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.system": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"resp_{_name(chance, is_template)}",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 4096,
        "gen_ai.request.top_p": 0.95,
        "gen_ai.usage.input_tokens": chance.randrange(200, 6000) + read,
        "gen_ai.usage.output_tokens": chance.randrange(20, 1800),
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": f"api.{provider}.com",
        "server.port": 443,
        "gen_ai.output.type": "text",
    }
    if content_bytes:
        asked, answered = _prose(chance, content_bytes * 3 // 4), _prose(chance, content_bytes // 4)
        facts["gen_ai.input.messages"] = json.dumps([{"role": "user", "parts": [{"type": "text", "content": asked}]}])
        facts["gen_ai.output.messages"] = json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": answered}], "finish_reason": "stop"}]
        )
    return facts


def _tool(chance: random.Random, is_template: bool) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": chance.choice(("web_search", "sql_query", "read_file")),
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": f"call_{_name(chance, is_template)}",
        "app.tool.rows": chance.randrange(500),
        "app.tool.cached": chance.random() < 0.3,
        "server.address": "tools.internal",
        "server.port": 8443,
        "network.protocol.name": "http",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/call",
        "thread.id": 140123,
        "app.tool.ms": chance.randrange(20_000) / 10,
    }
