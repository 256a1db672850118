"""Every dialect, and which one a record is written in: scope name first, attributes where a scope is shared."""

from functools import lru_cache

from ingest.dialects import (
    agent_frameworks,
    anthropic_sdk,
    claude_code,
    codex,
    crewai,
    gemini_cli,
    generic,
    imported,
    langfuse,
    langsmith,
    litellm,
    logfire,
    mastra,
    mlflow,
    openinference,
    openlit,
    openllmetry,
    otel_contrib,
    pydantic_ai,
    strands,
    vercel,
)
from ingest.dialects.base import Dialect
from models.core.telemetry import Span

DIALECTS: tuple[Dialect, ...] = (
    *anthropic_sdk.DIALECTS,
    *otel_contrib.DIALECTS,
    *openllmetry.DIALECTS,
    *crewai.DIALECTS,
    *openinference.DIALECTS,
    *openlit.DIALECTS,
    *pydantic_ai.DIALECTS,
    *logfire.DIALECTS,
    *langfuse.DIALECTS,
    *langsmith.DIALECTS,
    *litellm.DIALECTS,
    *mlflow.DIALECTS,
    *vercel.DIALECTS,
    *mastra.DIALECTS,
    *strands.DIALECTS,
    *agent_frameworks.DIALECTS,
    *claude_code.DIALECTS,
    *codex.DIALECTS,
    *gemini_cli.DIALECTS,
    *imported.DIALECTS,
)

_EXACT = {scope: dialect for dialect in DIALECTS for scope in dialect.scopes if not scope.endswith("*")}
_PREFIXES = sorted(
    ((scope[:-1], dialect) for dialect in DIALECTS for scope in dialect.scopes if scope.endswith("*")),
    key=lambda pair: -len(pair[0]),
)


def dialect_of(span: Span) -> Dialect:
    """The dialect of a record: by its scope, else by attributes only one vocabulary has, else the generic one."""
    found = of_scope(span.scope_name)
    return found if found is not None else generic.by_attributes(span.attributes)


@lru_cache(maxsize=4096)
def of_scope(scope: str) -> Dialect | None:
    """The dialect of a scope name, the longest prefix where no name fits; None for scopes nobody documented."""
    if scope in _EXACT:
        return _EXACT[scope]
    return next((dialect for prefix, dialect in _PREFIXES if scope.startswith(prefix)), None)
