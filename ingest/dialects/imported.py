"""Records made by the importers of session files and spend logs; raw usage objects keep their own convention."""

from ingest.dialects.base import Dialect, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE

DIALECTS = (
    Dialect(
        name="imported",
        scopes=("jevons.import.*", "jevons.transcripts.*"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "importers write OpenTelemetry's input_tokens, of which cached tokens are part"),
        bodies=("gen_ai.usage.raw",),
        rank=2,
    ),
)
