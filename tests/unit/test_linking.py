"""Link ids: the short way to them gives what the whole reading gives."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.identity import ids_alone
from ingest.dialects.reader import read
from ingest.dialects.registry import DIALECTS
from ingest.linking import ids_of, link_ids
from models.core.telemetry import Span
from tests.golden.test_corpus import CASES, spans_of


@cache
def corpus() -> tuple[Span, ...]:
    return tuple(span for case in CASES for redacted in (False, True) for span in spans_of(case, redacted=redacted))


def by_reading(span: Span) -> tuple[str, ...]:
    reading = read(span)
    return ids_of(reading) if reading is not None else ()


@pytest.mark.parametrize("case", CASES)
def test_the_short_way_gives_the_ids_of_the_whole_reading(case: str) -> None:
    for redacted in (False, True):
        for span in spans_of(case, redacted=redacted):
            assert link_ids(span) == by_reading(span)


def test_most_records_of_the_corpus_are_linked_without_their_counts() -> None:
    spans = corpus()
    assert sum(ids_alone(span) is not None for span in spans) > len(spans) / 2


KEYS = (
    "gen_ai.operation.name",
    "gen_ai.response.id",
    "gen_ai.request.id",
    "request_id",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.request.model",
    "gen_ai.tool.name",
    "llm.request.type",
    "llm.token_count.prompt",
    "llm.token_count.completion",
    "openinference.span.kind",
    "langfuse.observation.type",
    "ai.operationId",
    "output.value",
)
VALUES = (
    "chat",
    "invoke_agent",
    "LLM",
    "CHAIN",
    "generation",
    "ai.generateText.doGenerate",
    "chatcmpl-123",
    "msg_0123456789abcdef0123",
    '"quoted-id-of-some-length"',
    '{"id": "msg_body_0123456789", "usage": {"input_tokens": 3, "output_tokens": 4}}',
    0,
    12,
    3400,
)
SCOPES = ("", "unheard.of", *(scope.rstrip("*") for dialect in DIALECTS for scope in dialect.scopes))


@given(
    scope=st.sampled_from(SCOPES),
    attributes=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=6),
    in_event=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2),
    is_root=st.booleans(),
)
def test_whatever_a_record_says_both_ways_agree(
    scope: str, attributes: dict[str, object], in_event: dict[str, object], is_root: bool
) -> None:
    span = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        parent_span_id=None if is_root else b"p" * 8,
        name="chat",
        start_ns=1,
        end_ns=2,
        scope_name=scope,
        resource={"service.name": "agent"},
        attributes=attributes,
        events=({"name": "usage", "time_ns": 1, "attributes": in_event},) if in_event else (),
    )
    assert link_ids(span) == by_reading(span)
