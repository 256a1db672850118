"""Session files and spend logs become requests once, whatever was resumed, copied or written in pieces."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.calls import derive_calls
from ingest.transcripts import claude_code, codex, gemini_cli, litellm
from models.core.errors import BadInput
from models.core.vocabulary import CallStatus, UsageSource


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answer(
    number: int, *, session: str = "s-1", output: int = 50, second: int = 0, agent: str | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "type": "assistant",
        "uuid": f"u-{number}-{output}",
        "parentUuid": None,
        "sessionId": session,
        "timestamp": f"2026-03-01T10:{number:02d}:{second:02d}.000Z",
        "requestId": f"req_{number:020d}",
        "isSidechain": agent is not None,
        **({"agentId": agent} if agent else {}),
        "message": {
            "id": f"msg_{number:020d}",
            "role": "assistant",
            "model": "claude-opus-4-5-20251101",
            "content": [{"type": "text", "text": "prose that must not be kept"}],
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 9000 + number,
                "cache_creation_input_tokens": 400,
                "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300},
                "output_tokens": output,
                "service_tier": "standard",
            },
        },
        **more,
    }


def test_the_blocks_of_one_answer_are_one_request_with_its_last_count(tmp_path: Path) -> None:
    file = lines(tmp_path / "s-1.jsonl", answer(1, output=1), answer(1, output=80, second=2), answer(2))
    imported = claude_code.read_sessions([file])
    calls = derive_calls(imported.spans).calls
    assert [call.tokens.output for call in calls] == [80, 50]
    assert (calls[0].tokens.input, calls[0].tokens.cache_read) == (3, 9001)
    assert (calls[0].tokens.cache_write_5m, calls[0].tokens.cache_write_1h) == (100, 300)
    assert calls[0].convention == "exclusive"
    assert calls[0].service_tier == "standard"
    assert imported.repeated == 1
    assert "prose" not in repr(imported.spans)


def test_a_resumed_session_copies_history_that_is_not_counted_again(tmp_path: Path) -> None:
    lines(tmp_path / "s-1.jsonl", answer(1), answer(2))
    copied = [answer(1, session="s-2"), answer(2, session="s-2"), answer(3, session="s-2")]
    lines(tmp_path / "s-2.jsonl", *copied)
    calls = derive_calls(claude_code.read_sessions([tmp_path]).spans).calls
    assert [call.session for call in calls] == ["s-1", "s-1", "s-2"]
    apart = [
        *claude_code.read_sessions([tmp_path / "s-2.jsonl"]).spans,
        *claude_code.read_sessions([tmp_path / "s-1.jsonl"]).spans,
    ]
    assert len(derive_calls(apart).calls) == 3


def test_283_requests_of_a_session_are_58_of_the_main_agent_and_225_of_its_sub_agents(tmp_path: Path) -> None:
    main = [answer(n % 60, second=n // 60, message_number=n) for n in range(58)]
    for number, row in enumerate(main):
        row["message"]["id"], row["requestId"] = f"msg_main_{number:020d}", f"req_main_{number:020d}"
        row["message"]["usage"]["cache_read_input_tokens"] = 15_000 + 2_500 * number
    lines(tmp_path / "s-1.jsonl", *main)
    for agent in range(5):
        rows = [answer(n, agent=f"a{agent}") for n in range(45)]
        for number, row in enumerate(rows):
            row["message"]["id"], row["requestId"] = f"msg_{agent}_{number:020d}", f"req_{agent}_{number:020d}"
        lines(tmp_path / "s-1" / "subagents" / f"agent-a{agent}.jsonl", *rows)
    calls = derive_calls(claude_code.read_sessions([tmp_path]).spans).calls
    paths = [call.agent_path for call in calls]
    assert (len(calls), paths.count("claude-code"), paths.count("claude-code/subagent")) == (283, 58, 225)
    curve = [call.tokens.cache_read for call in calls if call.agent_path == "claude-code"]
    assert curve == [15_000 + 2_500 * number for number in range(58)]


def test_a_sub_agent_is_named_by_the_task_that_asked_for_it(tmp_path: Path) -> None:
    asks = answer(1)
    asks["message"]["content"] = [
        {"type": "tool_use", "id": "toolu_1", "name": "Task", "input": {"subagent_type": "Explore"}}
    ]
    told = {
        "type": "user",
        "uuid": "u-9",
        "timestamp": "2026-03-01T10:05:00Z",
        "toolUseResult": {"agentId": "a1"},
        "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]},
    }
    lines(tmp_path / "s-1.jsonl", asks, told)
    lines(tmp_path / "s-1" / "subagents" / "agent-a1.jsonl", answer(3, agent="a1"))
    calls = derive_calls(claude_code.read_sessions([tmp_path]).spans).calls
    assert [call.agent_path for call in calls] == ["claude-code", "claude-code/Explore"]


def test_importing_again_gives_the_same_spans(tmp_path: Path) -> None:
    file = lines(tmp_path / "s-1.jsonl", answer(1), answer(2))
    assert claude_code.read_sessions([file]).spans == claude_code.read_sessions([file]).spans


def test_a_broken_line_is_rejected_and_its_neighbours_go_on(tmp_path: Path) -> None:
    file = lines(tmp_path / "s-1.jsonl", answer(1))
    file.write_text(file.read_text() + "{broken\n" + json.dumps(answer(2)) + "\n" + '{"half')
    imported = claude_code.read_sessions([file])
    assert len(imported.spans) == 2
    assert [rejection.position for rejection in imported.rejections] == [f"{file}:2"]


def test_messages_that_claude_code_wrote_itself_are_no_requests(tmp_path: Path) -> None:
    row = answer(1)
    row["message"]["model"] = "<synthetic>"
    assert claude_code.read_sessions([lines(tmp_path / "s.jsonl", row)]).spans == []


def test_fast_mode_and_region_are_those_of_the_session_line(tmp_path: Path) -> None:
    row = answer(1)
    row["message"]["usage"] |= {"speed": "fast", "inference_geo": "us"}
    slow = answer(2)
    slow["message"]["usage"] |= {"speed": "standard", "inference_geo": "not_available"}
    calls = derive_calls(claude_code.read_sessions([lines(tmp_path / "s.jsonl", row, slow)]).spans).calls
    assert [(call.service_tier, call.region) for call in calls] == [("fast", "us"), ("standard", None)]


def test_an_advisor_inside_an_answer_is_a_request_of_its_own_model(tmp_path: Path) -> None:
    def entry(kind: str, fresh: int, output: int, **more: str) -> dict[str, Any]:
        return {"type": kind, "input_tokens": fresh, "output_tokens": output, **more}

    row = answer(1, output=121)
    usage = {"input_tokens": 2390, "output_tokens": 121, "cache_read_input_tokens": 0}
    usage["iterations"] = [
        entry("message", 1128, 110),
        entry("advisor_message", 2518, 22, model="claude-opus-4-8"),
        entry("message", 1262, 11),
    ]
    row["message"]["usage"] = usage
    lines(tmp_path / "s-1.jsonl", row)
    lines(tmp_path / "s-2.jsonl", {**row, "sessionId": "s-2"})
    # A copy of the session, imported at another time, tells of the same two requests.
    apart = [span for name in ("s-2", "s-1") for span in claude_code.read_sessions([tmp_path / f"{name}.jsonl"]).spans]
    for spans in (claude_code.read_sessions([tmp_path]).spans, apart):
        counted = {call.model: (call.tokens.input, call.tokens.output) for call in derive_calls(spans).calls}
        assert counted == {"claude-opus-4-5-20251101": (2390, 121), "claude-opus-4-8": (2518, 22)}
        assert len(derive_calls(spans).calls) == 2
        assert {call.usage_source for call in derive_calls(spans).calls} == {UsageSource.REPORTED}


def codex_line(minute: int, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": f"2026-03-01T10:{minute:02d}:00.000Z", "type": kind, "payload": payload}


def token_count(minute: int, total: int, last: int) -> dict[str, Any]:
    def counts(scale: int) -> dict[str, int]:
        return {
            "input_tokens": 100 * scale,
            "cached_input_tokens": 80 * scale,
            "output_tokens": 10 * scale,
            "reasoning_output_tokens": 4 * scale,
            "total_tokens": 110 * scale,
        }

    info = {"total_token_usage": counts(total), "last_token_usage": counts(last)}
    return codex_line(minute, "event_msg", {"type": "token_count", "info": info})


def test_codex_counts_each_answer_once_though_events_repeat_and_sums_grow(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "rollout-1.jsonl",
        codex_line(0, "session_meta", {"id": "c-1", "model_provider": "openai"}),
        codex_line(0, "turn_context", {"model": "gpt-5-codex"}),
        codex_line(1, "event_msg", {"type": "token_count", "info": None}),
        token_count(1, 1, 1),
        token_count(2, 1, 1),
        token_count(3, 3, 2),
    )
    imported = codex.read_sessions([file])
    calls = derive_calls(imported.spans).calls
    assert [(call.tokens.input, call.tokens.cache_read) for call in calls] == [(20, 80), (40, 160)]
    assert [(call.tokens.output, call.tokens.reasoning) for call in calls] == [(6, 4), (12, 8)]
    assert {(call.provider, call.model, call.session, call.agent) for call in calls} == {
        ("openai", "gpt-5-codex", "c-1", "codex")
    }
    assert imported.repeated == 1


def test_a_forked_codex_session_repeats_its_parents_history_without_counting_it(tmp_path: Path) -> None:
    meta = codex_line(0, "session_meta", {"id": "c-1"})
    lines(tmp_path / "rollout-1.jsonl", meta, token_count(1, 1, 1))
    fork = codex_line(5, "session_meta", {"id": "c-2", "forked_from_id": "c-1"})
    lines(tmp_path / "rollout-2.jsonl", fork, token_count(5, 1, 1), token_count(6, 2, 1))
    calls = derive_calls(codex.read_sessions([tmp_path]).spans).calls
    assert [call.session for call in calls] == ["c-1", "c-2"]


def test_gemini_cli_thoughts_and_tool_prompt_lie_beside_output_and_input(tmp_path: Path) -> None:
    tokens = {"input": 100, "output": 20, "cached": 60, "thoughts": 7, "tool": 5, "total": 132}
    document = {
        "sessionId": "g-1",
        "messages": [
            {"id": "m0", "timestamp": "2026-03-01T10:00:00Z", "type": "user", "content": "prose"},
            {
                "id": "m1",
                "timestamp": "2026-03-01T10:00:04Z",
                "type": "gemini",
                "model": "gemini-2.5-pro",
                "tokens": tokens,
            },
        ],
    }
    file = tmp_path / "session-1.json"
    file.write_text(json.dumps(document))
    (call,) = derive_calls(gemini_cli.read_sessions([file]).spans).calls
    told = call.tokens
    assert (told.input, told.cache_read, told.tool_use_input, told.output, told.reasoning) == (40, 60, 5, 20, 7)
    assert (call.end_ns - call.start_ns) == 4_000_000_000


def spend_row(**more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 64}}
    return {
        "request_id": "chatcmpl-000000000000000000001",
        "call_type": "acompletion",
        "spend": 0.00123,
        "prompt_tokens": 100,
        "completion_tokens": 9,
        "startTime": "2026-03-01T10:00:00.000",
        "endTime": "2026-03-01T10:00:02.000",
        "model": "gpt-5-2025-08-07",
        "model_group": "gpt-5",
        "custom_llm_provider": "openai",
        "team_id": "platform",
        "end_user": "u-7",
        "cache_hit": "False",
        "request_tags": '["prod"]',
        "metadata": json.dumps({"usage_object": usage}),
        **more,
    }


def test_litellm_rows_keep_team_user_tags_and_the_cost_as_a_cross_check(tmp_path: Path) -> None:
    file = tmp_path / "spend.json"
    file.write_text(json.dumps([spend_row(), spend_row()]))
    imported = litellm.read_spend_logs([file])
    (call,) = derive_calls(imported.spans).calls
    assert (call.tokens.input, call.tokens.cache_read, call.tokens.output) == (36, 64, 9)
    assert (call.team, call.user, call.tags["tags"], str(call.reported_cost)) == ("platform", "u-7", "prod", "0.00123")
    assert call.session is None
    assert imported.repeated == 1


def test_an_answer_out_of_litellms_cache_is_no_request_and_a_failure_has_no_tokens(tmp_path: Path) -> None:
    rows = [
        spend_row(cache_hit="True"),
        spend_row(request_id="chatcmpl-000000000000000000002", status="failure", metadata="{}"),
    ]
    file = tmp_path / "spend.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, [*rows[0], "status"])
        writer.writeheader()
        writer.writerows(rows)
    (call,) = derive_calls(litellm.read_spend_logs([file]).spans).calls
    assert (call.status, call.tokens.known_total) == (CallStatus.ERROR, 0)


def test_a_path_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        claude_code.read_sessions([tmp_path / "nowhere"])
