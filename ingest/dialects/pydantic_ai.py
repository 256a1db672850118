"""Pydantic AI: cached tokens are part of the input; before 1.1 the run span repeats the sum of its requests."""

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span


def _role(span: Span, attributes: Attributes) -> Role | None:
    # Up to 1.0 the run span has usage and a model but no operation.
    return Role.ROLLUP if span.name in ("agent run", "running tool", "running tools") else None


DIALECTS = (
    Dialect(
        name="pydantic-ai",
        scopes=("pydantic-ai", "pydantic_ai"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Pydantic AI's RequestUsage.input_tokens contains cache reads and writes"),
        role=_role,
        rank=1,
    ),
)
