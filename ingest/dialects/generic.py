"""Scopes nobody documented: read by their words, marked as unknown."""

from ingest.dialects import langfuse, langsmith, mlflow, openinference, vercel
from ingest.dialects.base import Attributes, Context, Convention, Dialect
from ingest.dialects.vocabulary import GENAI, OPENINFERENCE, joined
from ingest.usage import UNKNOWN

_BODIES = ("output.value", "gen_ai.usage.raw", "gen_ai.response.body", "gen_ai.completion")


def _convention(context: Context) -> Convention:
    return Convention(
        UNKNOWN,
        f"scope {context.span.scope_name or '(none)'} is not documented; "
        "OpenTelemetry's convention, cached tokens inside the input, is assumed unless the numbers disprove it",
    )


GENERIC = Dialect(
    name="generic",
    scopes=(),
    vocabulary=joined(GENAI, OPENINFERENCE),
    convention=_convention,
    bodies=_BODIES,
    rank=2,
)


def by_attributes(attributes: Attributes) -> Dialect:
    """The vocabulary that only one product writes, else the generic one."""
    if "langfuse.observation.type" in attributes:
        return langfuse.DIALECTS[0]
    if "langsmith.span.kind" in attributes:
        return langsmith.DIALECTS[0]
    if "mlflow.spanType" in attributes:
        return mlflow.DIALECTS[0]
    if "ai.operationId" in attributes:
        return vercel.DIALECTS[0]
    if "openinference.span.kind" in attributes and "gen_ai.operation.name" not in attributes:
        return openinference.DIALECTS[-1]
    return GENERIC
