"""The Anthropic SDKs' own GenAI spans (Python 2.x, TypeScript 1.x): on by default wherever a tracer exists."""

from ingest.dialects.base import Dialect, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE, TRUST_PROVIDER

DIALECTS = (
    Dialect(
        name="anthropic-sdk",
        scopes=("com.anthropic.sdk.*",),
        vocabulary=GENAI,
        convention=always(
            INCLUSIVE,
            "the Anthropic SDK sums input, cache reads and cache writes into gen_ai.usage.input_tokens",
            trust=TRUST_PROVIDER,
        ),
        rank=3,
    ),
)
