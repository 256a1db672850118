"""LiteLLM's spend logs (rows of LiteLLM_SpendLogs as JSON, JSON lines or CSV): one row per request of the proxy."""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ingest.json_text import parse
from ingest.provider_bodies import count
from ingest.transcripts.common import Imported, files_below, json_lines, ns_of_text, request_span
from models.core.telemetry import Rejection, Span
from models.core.time import ns_of_utc

TOOL = "litellm"
_TRUE = (True, "True", "true", "t", "TRUE")


def read_spend_logs(paths: Sequence[Path]) -> Imported:
    """Every request of these spend logs, once. Answers from LiteLLM's own cache made no request and are left out.

    Shapes   n files or directories → spans, one per row; the same files again give the same spans.
    Units    times without a zone are UTC, as LiteLLM writes them.
    Raises   BadInput for a path that does not exist.
    """
    imported = Imported()
    seen: set[str] = set()
    for path in files_below(paths, (".json", ".jsonl", ".csv")):
        imported.files += 1
        for number, row in _rows(path, imported):
            if row.get("cache_hit") in _TRUE:
                imported.repeated += 1
                continue
            identity = row.get("request_id")
            end_ns, start_ns = _moment(row.get("endTime")), _moment(row.get("startTime"))
            if not isinstance(identity, str) or not identity or end_ns is None:
                reason = "a spend log row needs request_id and endTime"
                imported.rejections.append(Rejection(position=f"{path}:{number}", reason=reason))
                continue
            if identity in seen:
                imported.repeated += 1
                continue
            seen.add(identity)
            imported.spans.append(_span(row, identity, start_ns if start_ns is not None else end_ns, end_ns))
    return imported


def _span(row: dict[str, Any], identity: str, start_ns: int, end_ns: int) -> Span:
    metadata = parse(row.get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    session = str(row.get("session_id") or identity)
    failed = row.get("status") == "failure" or metadata.get("status") == "failure"
    usage = metadata.get("usage_object")
    if not isinstance(usage, dict):
        usage = {
            "prompt_tokens": count(row.get("prompt_tokens")),
            "completion_tokens": count(row.get("completion_tokens")),
        }
        more = metadata.get("additional_usage_values")
        if isinstance(more, dict):
            usage |= {
                key: more[key] for key in ("cache_read_input_tokens", "cache_creation_input_tokens") if key in more
            }
    tags = parse(row.get("request_tags"))
    call_type = str(row.get("call_type") or "")
    return request_span(
        TOOL,
        session=session,
        identity=(identity,),
        start_ns=start_ns,
        end_ns=end_ns,
        is_error=failed,
        attributes={
            "gen_ai.operation.name": "embeddings" if "embedding" in call_type else "chat",
            "gen_ai.provider.name": row.get("custom_llm_provider"),
            "gen_ai.request.model": row.get("model_group") or row.get("model"),
            "gen_ai.response.model": row.get("model"),
            "gen_ai.response.id": identity,
            "server.address": row.get("api_base") or None,
            "user.id": row.get("end_user") or row.get("user") or None,
            "team.id": row.get("team_id") or metadata.get("user_api_key_team_alias") or None,
            "session.id": row.get("session_id") or None,
            "gen_ai.agent.name": row.get("agent_id") or None,
            "metadata.user_api_key_alias": metadata.get("user_api_key_alias"),
            "tag.tags": [str(tag) for tag in tags] if isinstance(tags, list) and tags else None,
            "gen_ai.cost.total_cost": str(row["spend"]) if row.get("spend") not in (None, "") else None,
            "error.type": "500" if failed else None,
            "gen_ai.usage.raw": None if failed else orjson.dumps(usage).decode(),
        },
    )


def _moment(text: Any) -> int | None:
    found = ns_of_text(text)
    if found is not None or not isinstance(text, str):
        return found
    try:
        return ns_of_utc(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        return None


def _rows(path: Path, imported: Imported) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            yield from enumerate(csv.DictReader(file), start=2)
        return
    if path.suffix == ".jsonl":
        yield from json_lines(path, imported.rejections)
        return
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as fault:
        imported.rejections.append(Rejection(position=str(path), reason=f"no JSON: {fault}"))
        return
    rows = document if isinstance(document, list) else document.get("data") if isinstance(document, dict) else None
    for number, row in enumerate(rows if isinstance(rows, list) else [], start=1):
        if isinstance(row, dict):
            yield number, row
