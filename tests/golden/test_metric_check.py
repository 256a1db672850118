"""Metrics check totals: nothing missing in captures with all signals, everything where only metrics came."""

import pytest

from ingest.metric_check import metric_gaps
from models.core.vocabulary import Signal
from tests.golden.test_corpus import CASES, derived, spans_of

METERED = [name for name in CASES if any(span.signal is Signal.METRICS for span in spans_of(name))]
ALONE = {
    "claude-code__anthropic__headless-tool-turn": "claude_code.token.usage",
    "claude-code__anthropic__cumulative-temporality": "claude_code.token.usage",
    "codex-cli__openai-responses__exec-logs-metrics": "codex.turn.token_usage",
    "otel-openai-v2__openai-chat__service-tier-priority": "gen_ai.client.token.usage",
    "pydantic-ai__anthropic__cache-read-write": "gen_ai.client.token.usage",
}


@pytest.mark.parametrize("case_id", METERED)
def test_metrics_say_no_more_than_the_calls(case_id: str) -> None:
    assert metric_gaps(spans_of(case_id), derived(case_id).calls) == []


@pytest.mark.parametrize("case_id", sorted(ALONE))
def test_metrics_alone_show_all_that_the_provider_put_out_however_often_they_are_exported(case_id: str) -> None:
    served = sum(request["output"] or 0 for request in CASES[case_id]["truth"]["requests"])
    (gap,) = metric_gaps([span for span in spans_of(case_id) if span.signal is Signal.METRICS], [])
    assert (gap.metric, gap.said, gap.counted, gap.missing) == (ALONE[case_id], served, 0, served)
