"""Attribute names of token counts: OpenTelemetry GenAI through its ages, and OpenInference."""

from collections.abc import Mapping

from ingest.dialects.base import Vocabulary

GENAI: Vocabulary = {
    "input": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cached_input_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens",
        "gen_ai.usage.details.cached_content_tokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "cache_write_5m": (
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",
        "gen_ai.usage.details.ephemeral_5m_input_tokens",
    ),
    "cache_write_1h": (
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
        "gen_ai.usage.details.ephemeral_1h_input_tokens",
    ),
    "tool_use": ("gen_ai.usage.tool_use_prompt_tokens", "gen_ai.usage.details.tool_use_prompt_tokens"),
    "output": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.reasoning_output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.thoughts_tokens",
        "llm.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.usage.details.thoughts_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
    ),
    "total": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
}

OPENINFERENCE: Vocabulary = {
    "input": ("llm.token_count.prompt",),
    "cache_read": (
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ),
    "cache_write": ("llm.token_count.prompt_details.cache_write",),
    "output": ("llm.token_count.completion",),
    "reasoning": ("llm.token_count.completion_details.reasoning",),
    "total": ("llm.token_count.total",),
}

DETAILS: Mapping[str, str] = {
    "llm.token_count.prompt_details.audio": "input_audio",
    "llm.token_count.completion_details.audio": "output_audio",
    "gen_ai.usage.audio.input_tokens": "input_audio",
    "gen_ai.usage.audio.output_tokens": "output_audio",
    "gen_ai.usage.image.input_tokens": "input_image",
    "gen_ai.usage.image.output_tokens": "output_image",
    "gen_ai.usage.details.web_search_requests": "web_search_requests",
}
"""Attributes of counts that a provider prices apart → models.core.vocabulary.Detail."""


def joined(*vocabularies: Vocabulary) -> Vocabulary:
    """Vocabularies one after the other: names of the first are believed before those of the next."""
    names: dict[str, tuple[str, ...]] = {}
    for vocabulary in vocabularies:
        for quantity, aliases in vocabulary.items():
            names[quantity] = names.get(quantity, ()) + aliases
    return names
