"""LangSmith's OTel export: flat inclusive sums; the details are inside the run's outputs in JSON."""

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import text_of
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span


def _role(span: Span, attributes: Attributes) -> Role | None:
    kind = text_of(attributes.get("langsmith.span.kind")) or text_of(attributes.get("langsmith.run_type"))
    if kind:
        return Role.CALL if kind.lower() in ("llm", "embedding") else Role.ROLLUP
    return None


DIALECTS = (
    Dialect(
        name="langsmith",
        scopes=("langsmith*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "LangSmith exports LangChain's usage_metadata, the sum of all input"),
        bodies=("gen_ai.completion", "langsmith.metadata.usage_metadata", "gen_ai.usage.details", "output.value"),
        role=_role,
        rank=1,
    ),
)
