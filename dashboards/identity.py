"""One colour for one thing on every page: values of a dimension → place in the series palette."""

from datetime import UTC, datetime
from time import monotonic

from dashboards.data import largest_first, whole
from dashboards.period import month_of
from dashboards.theme import GREY, SERIES, Scheme
from models.core.queries import CostQuery, Project
from models.core.vocabulary import CostBasis

KEPT_SECONDS = 300.0
"""How long a palette is kept in the process before it is read again."""

_kept: dict[tuple[int, str], tuple[float, dict[str, int]]] = {}


def places(project: Project, dimension: str) -> dict[str, int]:
    """Value → place 0–5. The largest of the project's first month come first, later ones take what is left.

    The order hangs on the project alone, not on the period or the filters of a page, so a model keeps its colour.
    """
    kept = _kept.get((project.id, dimension))
    if kept is not None and monotonic() - kept[0] < KEPT_SECONDS:
        return kept[1]
    names: dict[str, int] = {}
    if project.first_charge is not None and project.last_charge is not None:
        month = month_of(project.first_charge.astimezone(UTC).date())
        after = project.last_charge.astimezone(UTC)
        for start, end in ((month.start, month.end), (month.start, max(month.end, _next_hour(after)))):
            answer = whole(CostQuery(projects=(project.id,), start=start, end=end, group_by=(dimension,)))
            for row in largest_first(answer.rows, dimension, CostBasis.EFFECTIVE):
                value = row.keys.get(dimension)
                if value is not None and len(names) < GREY:
                    names.setdefault(value, len(names))
            if len(names) >= GREY or after < month.end:
                break
    _kept[project.id, dimension] = (monotonic(), names)
    return names


def _next_hour(moment: datetime) -> datetime:
    # Whole hours: rollups answer them without a look at single calls.
    return datetime.fromtimestamp((int(moment.timestamp()) // 3600 + 1) * 3600, tz=UTC)


def colour(place: int | None, scheme: Scheme) -> str:
    """The colour of a place; grey for none."""
    return SERIES[scheme][GREY if place is None else place]


def forget() -> None:
    """Drop what is kept, as after another project was loaded."""
    _kept.clear()
