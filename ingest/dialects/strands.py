"""Strands Agents: every count under two names, on the call, on the loop cycle and on the agent."""

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span


def _role(span: Span, attributes: Attributes) -> Role | None:
    if "cycle" in span.name or span.name.startswith(("invoke_agent", "execute_tool", "invoke_")):
        return Role.ROLLUP
    return None


DIALECTS = (
    Dialect(
        name="strands",
        scopes=("strands*", "opentelemetry.instrumentation.strands"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Strands' span counts contain cached tokens (its metrics do not)"),
        role=_role,
        rank=1,
    ),
)
