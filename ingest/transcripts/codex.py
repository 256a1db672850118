"""Codex's session files (~/.codex/sessions/**/rollout-*.jsonl): a token_count event per answer, with cumulative sums.

The same event is written again when only rate limits changed, and history is copied when a session is resumed or
forked. The cumulative sum names the answer: it grows with every one, so an event whose sum is known is a repeat.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingest.provider_bodies import count
from ingest.transcripts.common import Imported, files_below, json_lines, ns_of_text, request_span

TOOL = "codex"
_COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")


def read_sessions(paths: Sequence[Path]) -> Imported:
    """Every answered request of these session files, once.

    Shapes   n files or directories → spans, one per answer; the same files again give the same spans.
    Raises   BadInput for a path that does not exist.
    """
    imported = Imported()
    seen: set[tuple[object, ...]] = set()
    # Names begin with the time, so a parent comes before the session that was forked from it.
    for path in files_below(paths, (".jsonl",)):
        imported.files += 1
        _read_file(path, imported, seen)
    return imported


def _read_file(path: Path, imported: Imported, seen: set[tuple[object, ...]]) -> None:
    meta: dict[str, Any] = {}
    family: str | None = None
    context: dict[str, Any] = {}
    before: dict[str, int] = dict.fromkeys(_COUNTS, 0)
    start_ns: int | None = None
    for _, line in json_lines(path, imported.rejections):
        payload = line.get("payload")
        moment = ns_of_text(line.get("timestamp"))
        if not isinstance(payload, dict) or moment is None:
            continue
        kind = line.get("type")
        if kind == "session_meta":
            meta = meta or payload
            # A copied history begins with its own meta: its answers belong to that family.
            family = str(payload.get("forked_from_id") or payload.get("id") or path.stem)
        elif kind == "turn_context":
            context = payload
            start_ns = moment
        if kind != "event_msg" or payload.get("type") != "token_count":
            continue
        info = payload.get("info")
        total = _counts(info.get("total_token_usage")) if isinstance(info, dict) else None
        last = _counts(info.get("last_token_usage")) if isinstance(info, dict) else None
        if total is None and last is None:
            continue
        used = last if last is not None else {name: total[name] - before[name] for name in _COUNTS} if total else None
        sums = total if total is not None else {name: before[name] + (used or {}).get(name, 0) for name in _COUNTS}
        before = sums
        session = str(meta.get("id") or path.stem)
        key = (family or session, *(sums[name] for name in _COUNTS))
        if key in seen or used is None or not any(used.values()):
            imported.repeated += key in seen
            continue
        seen.add(key)
        source = meta.get("source")
        is_side = isinstance(source, dict) and "subagent" in source
        model = context.get("model") or meta.get("model")
        imported.spans.append(
            request_span(
                TOOL,
                session=session,
                identity=key,
                start_ns=start_ns if start_ns is not None else moment,
                end_ns=moment,
                attributes={
                    "gen_ai.provider.name": meta.get("model_provider") or "openai",
                    "gen_ai.request.model": model,
                    "gen_ai.agent.name": "subagent" if is_side else "codex",
                    "jevons.agent_path": "codex/subagent" if is_side else "codex",
                    "gen_ai.usage.input_tokens": used["input_tokens"],
                    "gen_ai.usage.cache_read.input_tokens": used["cached_input_tokens"],
                    "gen_ai.usage.output_tokens": used["output_tokens"],
                    "gen_ai.usage.reasoning.output_tokens": used["reasoning_output_tokens"],
                },
            )
        )
        start_ns = moment


def _counts(told: Any) -> dict[str, int] | None:
    if not isinstance(told, dict):
        return None
    found = {name: count(told.get(name)) for name in _COUNTS}
    if found["input_tokens"] is None:
        return None
    return {name: value if value is not None else 0 for name, value in found.items()}
