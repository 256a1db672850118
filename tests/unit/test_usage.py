"""Counts of one request out of its descriptions: which contain which."""

from dataclasses import replace
from typing import Any

import pytest

from ingest.provider_bodies import usage_of
from ingest.usage import TRUST_FRAMEWORK, combine


def of_gemini(prompt: int, cached: int, told: dict[str, int], read: dict[str, int] | None) -> dict[str, Any]:
    """Gemini's usage object: counts of the prompt by modality, and of what was read from the cache."""
    usage: dict[str, Any] = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "promptTokensDetails": [{"modality": name, "tokenCount": tokens} for name, tokens in told.items()],
    }
    if read is not None:
        usage["cacheTokensDetails"] = [{"modality": name, "tokenCount": tokens} for name, tokens in read.items()]
    return usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            of_gemini(10_000, 8_000, {"AUDIO": 9_000, "TEXT": 1_000}, {"AUDIO": 7_500, "TEXT": 500}),
            {"input_audio": 1_500, "cache_read_audio": 7_500},
            id="the-cached-part-is-taken-out",
        ),
        pytest.param(
            of_gemini(345, 191, {"IMAGE": 258, "TEXT": 87}, {"IMAGE": 143, "TEXT": 48}),
            {"input_image": 115, "cache_read_image": 143},
            id="of-images-too",
        ),
        pytest.param(
            of_gemini(1_000, 400, {"AUDIO": 300, "TEXT": 700}, {"TEXT": 400}),
            {"input_audio": 300, "cache_read_audio": 0},
            id="a-list-without-audio-says-that-none-was-read",
        ),
        pytest.param(
            of_gemini(10_000, 8_000, {"AUDIO": 9_000, "TEXT": 1_000}, None),
            {"input_audio": 9_000},
            id="a-split-that-nobody-tells-stays-unknown",
        ),
        pytest.param(
            of_gemini(10_000, 8_000, {"AUDIO": 10_000}, None),
            {"input_audio": 2_000, "cache_read_audio": 8_000},
            id="where-all-is-audio-only-one-split-is-possible",
        ),
        pytest.param(
            of_gemini(10_000, 0, {"AUDIO": 9_000, "TEXT": 1_000}, None),
            {"input_audio": 9_000},
            id="nothing-cached",
        ),
    ],
)
def test_parts_of_the_prompt_are_fresh_or_cached(usage: dict[str, Any], expected: dict[str, int]) -> None:
    read = usage_of(usage)
    assert read is not None
    assert combine([read]).details == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        # xAI's chat completions: 279 + 800 + 89 = 1168.
        pytest.param({"total_tokens": 1_168}, (800, 89), id="the-total-has-it-beside-the-output"),
        pytest.param(
            {"total_tokens": 1_168, "prompt_tokens_details": {"cached_tokens": 192}},
            (800, 89),
            id="cached-tokens-do-not-matter",
        ),
        # OpenAI's: 279 + 800 = 1079, of which 89 reasoning.
        pytest.param({"total_tokens": 1_079}, (711, 89), id="the-total-has-it-inside-the-output"),
        pytest.param({}, (711, 89), id="without-a-total-the-convention-holds"),
        pytest.param({"total_tokens": 1_200}, (711, 89), id="a-total-of-something-else-decides-nothing"),
    ],
)
def test_the_total_tells_whether_output_contains_reasoning(more: dict[str, Any], expected: tuple[int, int]) -> None:
    counts = {"prompt_tokens": 279, "completion_tokens": 800}
    told = usage_of({**counts, "completion_tokens_details": {"reasoning_tokens": 89}, **more})
    assert told is not None
    tokens = combine([told]).tokens
    assert (tokens.output, tokens.reasoning) == expected
    assert told.whole_output == sum(expected)
    # A second description without a word for reasoning, which tells the total, changes nothing.
    bare = usage_of({**counts, **more})
    assert bare is not None
    again = combine([bare, replace(told, total=None, trust=TRUST_FRAMEWORK)]).tokens
    assert (again.output, again.reasoning) == expected
