"""Agents and their shapes: sessions, request sizes, scaffolds, orchestrators and shared requests, one test each."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.calls import derive_calls
from ingest.transcripts import claude_code
from models.core.errors import JevonsError
from models.core.money import exact_cost
from models.core.telemetry import Call, TokenCounts
from models.costs.anatomy import context_curves, context_of, input_by_section, request_sizes, sent_of
from models.costs.sharing import SharingRule, share_request
from tests.golden.test_corpus import CASES, counted, derived
from tests.ledger_builders import make_call

AT = datetime(2026, 11, 3, 10, tzinfo=UTC)


def sent(number: int, tokens: int, path: str | None, **more: int) -> Call:
    told = TokenCounts(input=tokens - more.get("cache_read", 0), output=more.get("output", 100), reasoning=0)
    told = replace(told, cache_read=more.get("cache_read", 0))
    call = make_call(1, number, AT + timedelta(seconds=7 * number), told)
    return replace(call, agent_path=path, agent=path.rsplit("/", 1)[-1] if path else None)


def claude_code_files(folder: Path, main: list[int], below: list[int]) -> None:
    """A session's file and those of its five sub-agents: context sizes of their turns, 100 tokens of answer each."""
    begin = datetime(2026, 11, 3, 10, tzinfo=UTC)

    def answer(number: int, size: int, seconds: float, agent: str | None) -> str:
        usage = {"input_tokens": 1_000, "cache_read_input_tokens": size - 1_000, "output_tokens": 100}
        line = {
            "type": "assistant",
            "uuid": f"u-{agent}-{number}",
            "sessionId": "s-1",
            "timestamp": f"{begin + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}",
            "requestId": f"req_{agent}_{number:020d}",
            "isSidechain": agent is not None,
            **({"agentId": agent} if agent else {}),
            "message": {"id": f"msg_{agent}_{number:020d}", "model": "claude-opus-4-6", "usage": usage},
        }
        return json.dumps(line) + "\n"

    # 33 minutes from the first answer to the last one.
    step = 33 * 60 / (len(main) - 1)
    (folder / "s-1.jsonl").write_text("".join(answer(n, size, step * n, None) for n, size in enumerate(main)))
    (folder / "s-1" / "subagents").mkdir(parents=True)
    for agent in range(5):
        turns = [answer(n, size, 8.0 * n, f"a{agent}") for n, size in enumerate(below) if n % 5 == agent]
        (folder / "s-1" / "subagents" / f"agent-a{agent}.jsonl").write_text("".join(turns))


def test_claude_code_session_of_33_minutes_is_58_and_225_requests_with_its_curve_and_one_compaction(
    tmp_path: Path,
) -> None:
    # 3.5 million tokens: 15k growing to 156k by turn 45, one compaction to 40k, then on; the rest is sub-agents'.
    sizes = [15_000 + 141_000 * turn**3 // 44**3 for turn in range(45)] + [40_000 + 2_000 * turn for turn in range(13)]
    rest = 3_500_000 - sum(sizes) - 283 * 100
    below = [rest // 225 + (turn < rest % 225) for turn in range(225)]
    claude_code_files(tmp_path, sizes, below)
    imported = claude_code.read_sessions([tmp_path])
    calls = derive_calls(imported.spans).calls
    by_path = Counter(call.agent_path for call in calls)
    assert (len(calls), by_path["claude-code"], by_path["claude-code/subagent"]) == (283, 58, 225)
    assert sum(call.tokens.known_total for call in calls) == 3_500_000
    ends = [call.end_ns for call in calls]
    assert max(ends) - min(ends) == 33 * 60 * 10**9
    curves = context_curves(sent_of(call) for call in calls)
    turns = curves["claude-code"]
    assert [turn.tokens for turn in turns] == sizes
    assert (turns[0].tokens, max(turn.tokens for turn in turns)) == (15_000, 156_000)
    assert [place for place, turn in enumerate(turns) if turn.is_compacted] == [45]
    # Σ agents = Σ leaves.
    agents = {path: sum(turn.tokens for turn in curve) for path, curve in curves.items()}
    assert sum(agents.values()) == sum(context_of(call.tokens) or 0 for call in calls) == 3_500_000 - 28_300


def test_semianalysis_request_sizes_have_a_median_of_96k_and_half_over_128k() -> None:
    calls = [sent(n, size, None) for n, size in enumerate([4_000, 60_000, 96_000, 128_001, 190_000, 1_000_000])]
    sizes = request_sizes(sent_of(call) for call in [*calls, make_call(9, 9, AT, TokenCounts())])
    assert (sizes.requests, sizes.median, sizes.largest) == (6, 96_000, 1_000_000)
    assert sizes.share_long == Decimal("0.5")
    nothing = request_sizes([sent_of(make_call(9, 9, AT, TokenCounts()))])
    assert (nothing.requests, nothing.median, nothing.share_long) == (0, None, None)


def test_the_scaffold_is_known_by_section_and_unknown_otherwise() -> None:
    assert input_by_section(96_000, {"system": 12_000, "tools": 20_000, "history": None}) == {
        "system": 12_000,
        "tools": 20_000,
        "unknown": 64_000,
    }
    assert input_by_section(96_000, {}) == {"unknown": 96_000}
    assert input_by_section(None, {"system": 5}) == {"system": 5, "unknown": None}
    # Sections that exceed the input were counted by another tokenizer: they prove nothing.
    assert input_by_section(10, {"system": 8, "tools": 8}) == {"unknown": 10}


def test_870_m_tokens_a_day_of_an_orchestrator_and_four_sub_agents_are_costed_by_bucket() -> None:
    price = {"input": Decimal(3), "cache_read": Decimal("0.3"), "output": Decimal(15)}
    used = {"orchestrator": (2, 170, 2), "a": (5, 160, 2), "b": (5, 165, 2), "c": (5, 166, 2), "d": (5, 172, 2)}
    tokens = {bucket: sum(row[place] for row in used.values()) for place, bucket in enumerate(price)}
    by_bucket = sum(exact_cost(tokens[bucket] * 1_000_000, price[bucket]) for bucket in price)
    by_agent = sum(
        exact_cost(row[place] * 1_000_000, price[bucket]) for row in used.values() for place, bucket in enumerate(price)
    )
    assert sum(tokens.values()) == 865
    assert by_bucket == by_agent == Decimal("465.9")
    # A blended output rate would say 28 times as much.
    assert exact_cost(865_000_000, price["output"]) == Decimal(12_975)


@pytest.mark.parametrize("rule", list(SharingRule))
def test_one_billed_grok_request_of_four_agents_is_shared_exactly_and_every_row_names_the_rule(
    rule: SharingRule,
) -> None:
    billed = Decimal("0.100000000000001")
    shares = share_request(billed, {"lead": 300, "critic": 100, "search": 100, "writer": 100}, rule)
    assert sum(share.cost for share in shares) == billed
    assert {share.rule for share in shares} == {rule}
    expected = {
        SharingRule.EQUAL: Decimal("0.025"),
        SharingRule.BY_OUTPUT: Decimal("0.05"),
        SharingRule.FIRST_PAYER: billed,
    }[rule]
    assert abs(shares[0].cost - expected) <= Decimal("1e-15")


@given(
    st.decimals(min_value=0, max_value=10_000, places=15, allow_nan=False),
    st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 10**6), min_size=1, max_size=6),
    st.sampled_from(list(SharingRule)),
)
def test_shares_of_a_request_always_sum_to_what_was_billed(
    billed: Decimal, outputs: dict[str, int], rule: SharingRule
) -> None:
    assert sum(share.cost for share in share_request(billed, outputs, rule)) == billed


def test_nothing_is_shared_by_output_where_nobody_answered() -> None:
    with pytest.raises(JevonsError):
        share_request(Decimal(1), {"a": 0, "b": 0}, SharingRule.BY_OUTPUT)


@pytest.mark.parametrize(
    "case_id",
    [name for name in CASES if any(word in name for word in ("autogen", "crewai", "codex", "multi-agent", "handoff"))],
)
def test_autogen_crewai_swarm_and_codex_count_each_request_once(case_id: str) -> None:
    case = CASES[case_id]
    calls = counted(derived(case_id).calls)
    number = case["expected"]["calls"]
    assert number is None or len(calls) == number
    served = sum(request["output"] or 0 for request in case["truth"]["requests"])
    put_out = sum((call.tokens.output or 0) + (call.tokens.reasoning or 0) for call in calls)
    assert put_out in (0, served)
