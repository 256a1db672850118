"""What one request was made of, where telemetry tells: sections of the prompt, and tokens drafted and accepted.

Sources  OpenAI's usage object (`accepted_prediction_tokens`, `rejected_prediction_tokens`) and what copies it key by
         key (`gen_ai.usage.details.*` and the like); SGLang's `meta_info`. vLLM counts drafts per server, in metrics of
         its own, not per request. No convention and no instrumentation names prompt sections (looked for in November
         2026), so these are names of our own, as are those for engines that tell drafts per request.
"""

from collections.abc import Mapping
from typing import Any

from ingest.provider_bodies import count
from models.core.vocabulary import Anatomy

_OWN = {
    "jevons.prompt.system_tokens": Anatomy.PROMPT_SYSTEM,
    "jevons.prompt.tools_tokens": Anatomy.PROMPT_TOOLS,
    "jevons.prompt.history_tokens": Anatomy.PROMPT_HISTORY,
    "jevons.speculation.drafted_tokens": Anatomy.DRAFTED,
    "jevons.speculation.accepted_tokens": Anatomy.ACCEPTED,
}
_COPIES = ("gen_ai.usage.details.", "gen_ai.usage.completion_tokens_details.", "gen_ai.usage.")
_ACCEPTED, _REJECTED = "accepted_prediction_tokens", "rejected_prediction_tokens"
ANATOMY_KEYS = (*_OWN, *(f"{prefix}{_ACCEPTED}" for prefix in _COPIES))
"""Attributes without one of which a record tells no anatomy."""


def anatomy_of(attributes: Mapping[str, Any]) -> dict[str, int]:
    """Counts by `vocabulary.Anatomy` that single attributes tell; 0 is a statement.

    Units    tokens. Drafts are told only where both sides are and something was drafted.
    """
    found: dict[str, int] = {}
    for key, name in _OWN.items():
        value = count(attributes.get(key)) if key in attributes else None
        if value is not None:
            found[name] = value
    if Anatomy.DRAFTED not in found:
        for prefix in _COPIES:
            if f"{prefix}{_ACCEPTED}" in attributes:
                told = drafts(count(attributes[f"{prefix}{_ACCEPTED}"]), count(attributes.get(f"{prefix}{_REJECTED}")))
                found.update(told)
                break
    return found


def drafts(accepted: int | None, rejected: int | None) -> dict[str, int]:
    """Drafted and accepted tokens out of accepted and rejected ones; nothing where nothing was drafted."""
    if accepted is None or rejected is None or not accepted + rejected:
        return {}
    return {Anatomy.DRAFTED: accepted + rejected, Anatomy.ACCEPTED: accepted}
