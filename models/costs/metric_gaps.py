"""Metrics against calls: a service whose token metrics say more than its calls lacks spans or logs. Pure."""

from collections.abc import Iterable, Mapping

from models.core.metrics import MetricDay, MetricGap, ModelGap

TOLERANCE = 0.01
"""Share of what metrics say that calls may lack: exports are minutes late at the edges of a period."""

Counted = Mapping[tuple[str | None, str | None], int]
"""(service, served model) → output tokens of calls, reasoning included."""


def gaps_of(days: Iterable[MetricDay], counted: Counted) -> list[MetricGap]:
    """Services whose metrics say more output than their calls, the largest gap first.

    Shapes   days of streams and the output of calls → one gap per service at most.
    Units    tokens of output with reasoning.
    Method   of several metrics that describe the same requests the largest is taken; models are compared where the
             metric names them, a dated served name (`gpt-5-2026-01-01`) counting for its alias.
    """
    said: dict[tuple[str | None, str, str], dict[str | None, int]] = {}
    for each in days:
        models = said.setdefault((each.service, each.metric, each.scope), {})
        models[each.model] = models.get(each.model, 0) + each.output_tokens
    by_service: dict[str | None, int] = {}
    for (service, _), output in counted.items():
        by_service[service] = by_service.get(service, 0) + output
    largest: dict[str | None, MetricGap] = {}
    for (service, metric, scope), models in sorted(said.items(), key=lambda item: (sum(item[1].values()), item[0][1:])):
        whole = sum(models.values())
        largest[service] = MetricGap(
            service, metric, scope, whole, by_service.get(service, 0), _by_model(service, models, counted)
        )
    gaps = [gap for gap in largest.values() if gap.missing > TOLERANCE * gap.said]
    return sorted(gaps, key=lambda gap: (-gap.missing, gap.service or ""))


def _by_model(service: str | None, said: Mapping[str | None, int], counted: Counted) -> tuple[ModelGap, ...]:
    found: list[ModelGap] = []
    for model, tokens in said.items():
        if model is not None:
            told = sum(
                output
                for (of, served), output in counted.items()
                if of == service and served is not None and (served == model or served.startswith(f"{model}-"))
            )
            found.append(ModelGap(model, tokens, told))
    return tuple(sorted(found, key=lambda gap: (gap.counted - gap.said, gap.model or "")))
