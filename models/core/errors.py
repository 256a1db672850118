"""Faults: one class per kind, with the thing, the figures and the next step in the message."""

from collections.abc import Mapping
from typing import Any


class JevonsError(Exception):
    """A fault the user can act on. `code` is for machines, `status` for HTTP, `exit_code` for the shell."""

    code = "error"
    status = 500
    exit_code = 1


class BadInput(JevonsError):
    """Input that cannot be taken; `errors` names each field and the reason."""

    code = "bad_input"
    status = 400

    def __init__(self, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []


class NotFound(JevonsError):
    """A thing asked for by name or id that does not exist."""

    code = "not_found"
    status = 404


class Conflict(JevonsError):
    """A request that the present state of the thing forbids."""

    code = "conflict"
    status = 409


class Unfinished(JevonsError):
    """Work that was asked for is under way, and not done in the time it was given."""

    code = "unfinished"
    status = 503


class NothingToSplitBy(JevonsError):
    """Weights that sum to zero cannot share a cost."""

    code = "nothing_to_split_by"
    status = 422

    def __init__(self, cost: Any, weights: Mapping[Any, Any]) -> None:
        super().__init__(
            f"cannot split {cost} by {len(weights)} weights that sum to {sum(weights.values())}. "
            "Give at least one payer a positive weight, or keep the cost unallocated."
        )


class FrameSchemaError(JevonsError):
    """A frame lacks a column or has one of the wrong type."""

    code = "frame_schema"

    def __init__(self, frame: str, problems: list[str]) -> None:
        super().__init__(f"frame {frame}: {'; '.join(problems)}. Build it with models.core.frames.")
