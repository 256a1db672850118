"""Gemini CLI's session files (~/.gemini/tmp/*/chats/session-*.json, or .jsonl): tokens on every answer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from ingest.provider_bodies import count
from ingest.transcripts.common import Imported, files_below, json_lines, ns_of_text, request_span
from models.core.telemetry import Rejection

TOOL = "gemini_cli"


def read_sessions(paths: Sequence[Path]) -> Imported:
    """Every answered request of these session files, once.

    Shapes   n files or directories → spans, one per answer; the same files again give the same spans.
    Raises   BadInput for a path that does not exist.
    """
    imported = Imported()
    seen: set[tuple[str, str]] = set()
    for path in files_below(paths, (".json", ".jsonl")):
        imported.files += 1
        started: int | None = None
        for session, message in _messages(path, imported):
            moment = ns_of_text(message.get("timestamp"))
            tokens = message.get("tokens")
            if message.get("type") != "gemini" or not isinstance(tokens, dict) or moment is None:
                started = moment if moment is not None else started
                continue
            identity = str(message.get("id") or moment)
            if (session, identity) in seen:
                imported.repeated += 1
                continue
            seen.add((session, identity))
            told = {name: count(tokens.get(name)) for name in ("input", "output", "cached", "thoughts", "tool")}
            imported.spans.append(
                request_span(
                    TOOL,
                    session=session,
                    identity=(identity,),
                    start_ns=started if started is not None else moment,
                    end_ns=moment,
                    attributes={
                        "gen_ai.provider.name": "gcp.gemini",
                        "gen_ai.operation.name": "generate_content",
                        "gen_ai.request.model": message.get("model"),
                        "gen_ai.agent.name": "gemini-cli",
                        "gen_ai.usage.raw": orjson.dumps(
                            {
                                "promptTokenCount": told["input"],
                                "cachedContentTokenCount": told["cached"],
                                "candidatesTokenCount": told["output"],
                                "thoughtsTokenCount": told["thoughts"],
                                "toolUsePromptTokenCount": told["tool"],
                            }
                        ).decode(),
                    },
                )
            )
            started = moment
    return imported


def _messages(path: Path, imported: Imported) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".jsonl":
        session = path.stem
        for _, line in json_lines(path, imported.rejections):
            session = str(line.get("sessionId") or session)
            yield session, line
        return
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as fault:
        imported.rejections.append(Rejection(position=str(path), reason=f"no JSON: {fault}"))
        return
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list):
        imported.rejections.append(Rejection(position=str(path), reason="no Gemini CLI session: it has no messages"))
        return
    for message in messages:
        if isinstance(message, dict):
            yield str(document.get("sessionId") or path.stem), message
