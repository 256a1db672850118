"""Counts of one request out of its descriptions: which contain which."""

from typing import Any

import pytest

from ingest.provider_bodies import usage_of
from ingest.usage import combine


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
