"""What a request was made of: sections and drafts read from spans and bodies, and what follows from them."""

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.calls import derive_calls
from ingest.redaction import Redactor
from models.core.telemetry import Call
from models.costs.anatomy import drafts_of, sections_of
from models.costs.hardware_speculation import chance_of, tokens_per_step
from tests.unit.test_call_laws import span, usage

OPENAI = {
    "completion_tokens": 200,
    "prompt_tokens": 1_000,
    "completion_tokens_details": {"accepted_prediction_tokens": 120, "rejected_prediction_tokens": 30},
}


def read(scope: str, attributes: dict[str, Any]) -> Call:
    redact = Redactor(b"k" * 32)
    kept = {key: value for name, given in attributes.items() for key, value, _ in [redact(name, given)] if key}
    (call,) = derive_calls([span(1, "chat", scope, {**usage(1), **kept})]).calls
    return call


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        pytest.param(
            "acme.tracing",
            {"jevons.speculation.drafted_tokens": 150, "jevons.speculation.accepted_tokens": 120},
            id="own-names",
        ),
        pytest.param(
            "pydantic-ai",
            {
                "gen_ai.usage.details.accepted_prediction_tokens": 120,
                "gen_ai.usage.details.rejected_prediction_tokens": 30,
            },
            id="copied-key-by-key",
        ),
        pytest.param(
            "openinference.instrumentation.openai",
            {"output.value": orjson.dumps({"id": "chatcmpl-1", "usage": OPENAI}).decode()},
            id="openai-body",
        ),
        pytest.param(
            "acme.tracing",
            {
                "output.value": orjson.dumps(
                    {
                        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
                        "meta_info": {"spec_accept_token_num": 120, "spec_draft_token_num": 150},
                    }
                ).decode()
            },
            id="sglang-body",
        ),
    ],
)
def test_drafted_and_accepted_tokens_are_read_after_redaction(scope: str, attributes: dict[str, Any]) -> None:
    call = read(scope, attributes)
    assert (call.details["drafted"], call.details["accepted"]) == (150, 120)
    drafts = drafts_of([call.details, {}])
    assert drafts is not None
    assert (drafts.requests, drafts.acceptance) == (1, Decimal("0.8"))


def test_nothing_drafted_is_no_draft_and_nothing_accepted_is_told() -> None:
    quiet = {"gen_ai.usage.details.accepted_prediction_tokens": 0, "gen_ai.usage.details.rejected_prediction_tokens": 0}
    assert "drafted" not in read("pydantic-ai", quiet).details
    wasted = {**quiet, "gen_ai.usage.details.rejected_prediction_tokens": 40}
    assert read("pydantic-ai", wasted).details == {"drafted": 40, "accepted": 0}


def test_prompt_sections_are_read_and_the_rest_of_the_input_is_unknown() -> None:
    told = {"jevons.prompt.system_tokens": 100, "jevons.prompt.tools_tokens": 40, "jevons.prompt.history_tokens": 700}
    call = read("acme.tracing", told)
    whole = usage(1)["gen_ai.usage.input_tokens"]
    assert sections_of([(whole, call.details)]) == {
        "system": 100,
        "tools": 40,
        "history": 700,
        "unknown": whole - 840,
    }
    assert sections_of([(whole, {}), (None, call.details)]) == {"unknown": whole}


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 10**6)),
            st.dictionaries(
                st.sampled_from(["prompt_system", "prompt_tools", "prompt_history"]), st.integers(0, 10**6)
            ),
        ),
        max_size=20,
    )
)
def test_sections_and_unknown_always_sum_to_the_input(requests: list[tuple[int | None, dict[str, int]]]) -> None:
    assert sum(sections_of(requests).values()) == sum(whole for whole, _ in requests if whole is not None)


@given(st.integers(1, 12), st.floats(0, 1))
def test_the_chance_of_a_draft_gives_back_the_share_that_requests_tell(drafted: int, chance: float) -> None:
    share = (tokens_per_step(drafted, chance) - 1) / drafted
    found = chance_of(drafted, min(max(share, 0.0), 1.0))
    assert (tokens_per_step(drafted, found) - 1) / drafted == pytest.approx(share, abs=1e-9)
