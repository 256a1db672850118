"""Mastra's OTel exporter: GenAI names, cached tokens inside the input."""

from ingest.dialects.base import Dialect, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE

DIALECTS = (
    Dialect(
        name="mastra",
        scopes=("@mastra/*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Mastra sums cached tokens into gen_ai.usage.input_tokens"),
        rank=1,
    ),
)
