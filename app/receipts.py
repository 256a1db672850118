"""What became of a body, and how its sender is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.core.telemetry import Rejection
from models.store.span_codec import PreparedSpans, ids_of_block
from models.store.telemetry import StoreOutcome

MAX_MESSAGE = 2000


@dataclass(slots=True)
class Receipt:
    """What became of one body, after its commit."""

    records: int = 0
    """Records that are stored now, whether by this body or by an earlier one."""
    rejections: list[Rejection] = field(default_factory=list[Rejection])


def receipt_of(spans: PreparedSpans, rejected: Sequence[Rejection], outcome: StoreOutcome) -> Receipt:
    """The receipt of one body out of the commit that stored it, perhaps with others."""
    rejections = list(rejected)
    if outcome.conflicts:
        ids = {(block.trace_id, span_id) for block in spans.blocks for span_id in ids_of_block(block.span_ids)}
        rejections += [
            Rejection(
                position="spans",
                reason="another span with these ids is stored already and differs; the first is kept",
                trace_id=trace_id,
                span_id=span_id,
            )
            for project_id, trace_id, span_id in outcome.conflicts
            if project_id == spans.project_id and (trace_id, span_id) in ids
        ]
    return Receipt(spans.count - (len(rejections) - len(rejected)), rejections)


def partial_success(receipt: Receipt, noun: str) -> str:
    """What a sender is told about the records that were not taken; empty when all were."""
    if not receipt.rejections:
        return ""
    reasons: dict[str, list[Rejection]] = {}
    for rejection in receipt.rejections:
        reasons.setdefault(rejection.reason, []).append(rejection)
    parts = [
        f"{found[0].position}: {reason}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")
        for reason, found in list(reasons.items())[:5]
    ]
    if len(reasons) > len(parts):
        parts.append(f"and {len(reasons) - len(parts)} more reasons")
    rejected = len(receipt.rejections)
    return f"{rejected} of {receipt.records + rejected} {noun} were not taken: {'; '.join(parts)}"[:MAX_MESSAGE]
