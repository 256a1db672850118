"""Records made by the importers of session files and spend logs; raw usage objects keep their own convention."""

from ingest.dialects.base import Dialect, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE

DIALECTS = (
    Dialect(
        name="imported",
        scopes=("jevons.import.*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Codex's session files copy OpenAI's input_tokens, of which cached ones are part"),
        bodies=("gen_ai.usage.raw",),
        rank=2,
    ),
)
