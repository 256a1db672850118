"""Session files of the pi coding agent, read as OpenTelemetry GenAI spans: one trace per prompt of the user."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.core.telemetry import Span
from models.core.time import ns_of_utc

SCOPE_NAME = "jevons.transcripts.pi"
AGENT = "pi"
RESOURCE = {"service.name": "pi-coding-agent"}
NS_PER_MS = 1_000_000

Row = Mapping[str, Any]


@dataclass(slots=True)
class _Prompt:
    """The rows between one message of the user and the next: one task, one trace."""

    session: str
    number: int
    rows: list[Row] = field(default_factory=list[Row])


def spans_of_rows(rows: Iterable[Row]) -> Iterator[Span]:
    """The spans of one or more recorded sessions.

    Shapes   rows of several files in file order, as recorded line by line → a root span per prompt, and below it
             a `chat` span per request to the model and an `execute_tool` span per tool result.
    Units    the recorded input count is the uncached part; it is stated inclusively, as the conventions ask.
             Cache writes carry no lifetime in these files.
    Source   a request begins at the message's own timestamp and ends when its line was written. A session
             that was aborted before the model answered has a call of status error and no usage.
    """
    for prompt in _prompts(rows):
        yield from _trace(prompt)


def _prompts(rows: Iterable[Row]) -> Iterator[_Prompt]:
    prompt: _Prompt | None = None
    for row in rows:
        if row["type"] == "session":
            if prompt:
                yield prompt
            prompt = _Prompt(session=row["session_id"], number=0)
        elif prompt is None:
            raise ValueError(f"line {row.get('line')}: a session file begins with a line of type session")
        elif row.get("role") == "user":
            yield prompt
            prompt = _Prompt(session=prompt.session, number=prompt.number + 1, rows=[row])
        else:
            prompt.rows.append(row)
    if prompt:
        yield prompt


def _trace(prompt: _Prompt) -> Iterator[Span]:
    requests = [row for row in prompt.rows if row.get("role") == "assistant"]
    if not requests:
        return
    trace_id = _id(16, prompt.session, prompt.number)
    root_id = _id(8, prompt.session, prompt.number, "root")
    task = f"{prompt.session[:8]}/prompt-{prompt.number}"
    common = {"gen_ai.agent.name": AGENT, "gen_ai.conversation.id": prompt.session, "task.id": task}
    children = [
        span
        for before, row in zip([prompt.rows[0], *prompt.rows], prompt.rows, strict=False)
        if (span := _child(row, before, trace_id, root_id, prompt, common))
    ]
    yield Span(
        trace_id=trace_id,
        span_id=root_id,
        parent_span_id=None,
        name=f"invoke_agent {AGENT}",
        start_ns=min(span.start_ns for span in children),
        end_ns=max(span.end_ns for span in children),
        status="ok",
        scope_name=SCOPE_NAME,
        resource=RESOURCE,
        attributes={"gen_ai.operation.name": "invoke_agent", **common},
        events=[
            {
                "name": "gen_ai.context.compaction",
                "time_ns": _written(row),
                "attributes": {"gen_ai.usage.input_tokens_before": row["tokensBefore"]},
            }
            for row in prompt.rows
            if row["type"] == "compaction"
        ],
    )
    yield from children


def _child(
    row: Row, before: Row, trace_id: bytes, root_id: bytes, prompt: _Prompt, common: Mapping[str, Any]
) -> Span | None:
    role = row.get("role")
    if role == "assistant":
        name, start_ns, attributes = f"chat {row['model']}", row["msg_timestamp_ms"] * NS_PER_MS, _usage(row)
        failed = row["stop_reason"] in ("aborted", "error")
    elif role == "toolResult":
        name, start_ns = f"execute_tool {row['tool_name']}", min(_written(before), _written(row))
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": row["tool_name"]}
        failed = bool(row.get("is_error"))
    else:
        return None
    return Span(
        trace_id=trace_id,
        span_id=_id(8, prompt.session, prompt.number, row["line"]),
        parent_span_id=root_id,
        name=name,
        kind=3 if role == "assistant" else 1,
        start_ns=start_ns,
        end_ns=_written(row),
        status="error" if failed else "ok",
        scope_name=SCOPE_NAME,
        resource=RESOURCE,
        attributes={**common, **attributes},
    )


def _usage(row: Row) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": row["provider"],
        "gen_ai.request.model": row["model"],
        "gen_ai.response.finish_reasons": [row["stop_reason"]],
    }
    counts = (row["usage_input"], row["usage_cacheRead"], row["usage_cacheWrite"], row["usage_output"])
    if row["stop_reason"] in ("aborted", "error"):
        attributes["error.type"] = row["stop_reason"]
        if row["stop_reason"] == "aborted" and not any(counts):
            # The client left before the answer told its usage; a request that failed was told to have used none.
            return attributes
    fresh, read, written, output = counts
    return attributes | {
        "gen_ai.response.model": row["model"],
        "gen_ai.usage.input_tokens": fresh + read + written,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_creation.input_tokens": written,
        "gen_ai.usage.output_tokens": output,
    }


def _written(row: Row) -> int:
    return ns_of_utc(datetime.fromisoformat(row["timestamp"]))


def _id(size: int, *parts: object) -> bytes:
    """An id derived from where the line stands, so that the same file read twice is once."""
    return hashlib.sha256("\x1f".join(map(str, ("pi", *parts))).encode()).digest()[:size]
