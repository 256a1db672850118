"""Claude Code's session files (~/.claude/projects/**/*.jsonl), with those of its sub-agents.

One answer is several lines: a line per content block, each with the usage known at that moment. Resuming or
forking a session copies its history into another file. So an answer is identified by its message and request ids,
whatever file it is in, and the line that counted most output is the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ingest.provider_bodies import count
from ingest.transcripts.common import Imported, files_below, json_lines, ns_of_text, request_span
from models.core.telemetry import Rejection, Span

TOOL = "claude_code"
_SYNTHETIC = "<synthetic>"
"""The model of messages that Claude Code writes itself: no request was made."""


@dataclass(slots=True)
class _Answer:
    """The fullest line of one answer, and where it was met first."""

    session: str
    agent_id: str | None
    start_ns: int
    end_ns: int
    message: dict[str, Any]
    request_id: str | None
    first: tuple[int, str]

    @property
    def output(self) -> int:
        return count(self.message["usage"].get("output_tokens")) or 0


def read_sessions(paths: Sequence[Path]) -> Imported:
    """Every answered request of these session files, once.

    Shapes   n files or directories → spans, one per answer and one per request to an advisor inside it; the same files
             again give the same spans.
    Raises   BadInput for a path that does not exist.
    """
    imported = Imported()
    answers: dict[tuple[object, ...], _Answer] = {}
    names: dict[str, str] = {}
    for path in files_below(paths, (".jsonl",)):
        imported.files += 1
        _read_file(path, imported, answers, names)
    for key in sorted(answers, key=repr):
        imported.spans += _spans(key, answers[key], names)
    return imported


def _read_file(
    path: Path, imported: Imported, answers: dict[tuple[object, ...], _Answer], names: dict[str, str]
) -> None:
    times: dict[str, int] = {}
    asked: dict[str, str] = {}
    for number, line in json_lines(path, imported.rejections):
        moment = ns_of_text(line.get("timestamp"))
        if isinstance(line.get("uuid"), str) and moment is not None:
            times[line["uuid"]] = moment
        _learn_names(line, asked, names)
        message = line.get("message")
        if (
            line.get("type") != "assistant"
            or not isinstance(message, dict)
            or not isinstance(message.get("usage"), dict)
        ):
            continue
        if message.get("model") == _SYNTHETIC:
            continue
        if moment is None:
            imported.rejections.append(Rejection(position=f"{path}:{number}", reason="an answer without a timestamp"))
            continue
        session = str(line.get("sessionId") or path.stem)
        identity = message.get("id")
        key = (identity, line.get("requestId")) if identity else ("line", line.get("uuid") or f"{session}:{number}")
        answer = _Answer(
            session=session,
            agent_id=line.get("agentId") or ("sidechain" if line.get("isSidechain") else None),
            start_ns=times.get(str(line.get("parentUuid")), moment),
            end_ns=moment,
            message=message,
            request_id=line.get("requestId"),
            first=(moment, session),
        )
        known = answers.get(key)
        if known is None:
            answers[key] = answer
            continue
        imported.repeated += 1
        _merge(known, answer)


def _merge(known: _Answer, again: _Answer) -> None:
    """The same answer met again: the fuller usage, the earliest start, the session that had it first."""
    if (again.output, again.end_ns) > (known.output, known.end_ns):
        known.message, known.end_ns = again.message, again.end_ns
    known.start_ns = min(known.start_ns, again.start_ns)
    if again.first < known.first:
        known.first, known.session, known.agent_id = again.first, again.session, again.agent_id
    known.request_id = known.request_id or again.request_id


def _learn_names(line: dict[str, Any], asked: dict[str, str], names: dict[str, str]) -> None:
    """Which kind of sub-agent an agent id is: the Task tool's `subagent_type`, tied by the tool's result."""
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    result = line.get("toolUseResult")
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, dict):
            continue
        if block.get("type") == "tool_use" and isinstance(block.get("input"), dict):
            kind = block["input"].get("subagent_type")
            if isinstance(kind, str) and isinstance(block.get("id"), str):
                asked[block["id"]] = kind
        if block.get("type") == "tool_result" and isinstance(result, dict) and isinstance(result.get("agentId"), str):
            kind = asked.get(str(block.get("tool_use_id")))
            if kind:
                names[result["agentId"]] = kind


def _spans(key: tuple[object, ...], answer: _Answer, names: dict[str, str]) -> list[Span]:
    """The answer, and each request to an advisor inside it: another model, so another price."""
    message = answer.message
    usage, iterations = message["usage"], message["usage"].get("iterations")
    advice = [one for one in iterations if _is_advice(one)] if isinstance(iterations, list) else []
    if advice:
        usage = {**usage, "iterations": [one for one in iterations if not _is_advice(one)]}
    ids = {"gen_ai.response.id": message.get("id"), "request_id": answer.request_id}
    answered = _span((*key, answer.output), answer, names, message.get("model"), usage, ids)
    advised = list[Span]()
    for at, one in enumerate(advice):
        # An id of its own: records that share one are one request, also when a copy of this session is imported later.
        own = f"{message['id']}/advisor/{at}" if message.get("id") else None
        advised.append(_span((*key, "advisor", at), answer, names, one["model"], one, {"request_id": own}))
    return [answered, *advised]


def _is_advice(one: Any) -> bool:
    return isinstance(one, dict) and one.get("type") == "advisor_message" and isinstance(one.get("model"), str)


def _span(
    identity: tuple[object, ...],
    answer: _Answer,
    names: dict[str, str],
    model: Any,
    usage: dict[str, Any],
    ids: dict[str, Any],
) -> Span:
    is_side = answer.agent_id is not None
    agent = names.get(answer.agent_id or "", "subagent") if is_side else "claude-code"
    return request_span(
        TOOL,
        session=answer.session,
        identity=identity,
        start_ns=answer.start_ns,
        end_ns=answer.end_ns,
        attributes={
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            **ids,
            "gen_ai.agent.name": agent,
            "jevons.agent_path": f"claude-code/{agent}" if is_side else agent,
            "gen_ai.usage.raw": orjson.dumps(usage).decode(),
        },
    )
