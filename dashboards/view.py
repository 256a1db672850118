"""What a page shows, read from its address: project, period, comparison, filters, theme. Links are made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, quote, urlencode

from dashboards.period import Period, month_of, month_so_far, parse_period, previous, year_before
from dashboards.theme import Scheme
from models.core.errors import BadInput, NotFound
from models.core.queries import CallQuery, CostQuery, Project
from models.core.vocabulary import DIMENSIONS, CostBasis, Granularity

Filter = tuple[str, str | None]

MOST_DAYS = 92
"""A period of more days is drawn by month."""

STANDING = ("project", "period", "compare", "filter", "basis", "theme")
"""What stays when one goes to another page; everything else belongs to the page it was set on."""
FILTER_DIMENSIONS = tuple(name for name in DIMENSIONS if name not in ("project", "bucket"))


@dataclass(slots=True, frozen=True)
class View:
    """The state of a page. Everything in it comes from the address and the list of projects."""

    path: str
    query: Mapping[str, tuple[str, ...]]
    projects: Sequence[Project]
    project: Project
    period: Period
    compare: Period | None
    filters: tuple[Filter, ...]
    basis: CostBasis
    theme: Scheme
    now: datetime
    origin: str = ""
    """Scheme, host and port that the browser came by: where agents send to as well."""
    own: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters of the page itself, last value each."""

    def get(self, name: str, default: str = "") -> str:
        """A parameter of the page."""
        return self.own.get(name, default)

    def href(self, path: str | None = None, **changes: str | Sequence[str] | None) -> str:
        """A link to this view with some parameters changed; None removes one.

        On another page only the standing parameters are kept.
        """
        kept = {
            name: list(values)
            for name, values in self.query.items()
            if path is None or path == self.path or name in STANDING
        }
        for name, value in changes.items():
            if value is None:
                kept.pop(name, None)
            else:
                kept[name] = [value] if isinstance(value, str) else list(value)
        text = urlencode(
            [(name, value) for name, values in kept.items() for value in values], quote_via=quote, safe=":/"
        )
        return f"{path or self.path}?{text}" if text else (path or self.path)

    def with_filter(self, *added: Filter, path: str | None = None, **changes: str | None) -> str:
        """A link narrowed by further filters; filters on the same dimensions give way."""
        dimensions = {dimension for dimension, _ in added}
        kept = [pair for pair in self.filters if pair[0] not in dimensions]
        return self.href(path, filter=[filter_text(pair) for pair in (*kept, *added)], **changes)

    def without_filter(self, gone: Filter) -> str:
        """A link without one filter."""
        return self.href(filter=[filter_text(pair) for pair in self.filters if pair != gone] or None)

    def costs(
        self,
        *group_by: str,
        period: Period | None = None,
        until: datetime | None = None,
        by: Granularity = Granularity.NONE,
        only: Sequence[Filter] = (),
        limit: int = 1000,
    ) -> CostQuery:
        """The question behind a figure of this view."""
        asked = period or self.period
        dimensions = {dimension for dimension, _ in only}
        return CostQuery(
            projects=(self.project.id,),
            start=asked.start,
            end=until or asked.end,
            group_by=group_by,
            granularity=by,
            filters=(*(pair for pair in self.filters if pair[0] not in dimensions), *only),
            basis=self.basis,
            limit=limit,
        )

    def calls(self, limit: int = 100, cursor: str | None = None) -> CallQuery:
        """The calls of this view."""
        return CallQuery(
            projects=(self.project.id,),
            start=self.period.start,
            end=self.period.end,
            filters=self.filters,
            unpriced=self.get("only") == "unpriced",
            limit=limit,
            cursor=cursor,
        )

    @property
    def grain(self) -> Granularity:
        """Days, or months where days would be too thin to see; `step` in the link decides otherwise."""
        chosen = self.get("step")
        if chosen in (Granularity.DAY.value, Granularity.MONTH.value):
            return Granularity(chosen)
        return Granularity.DAY if self.period.days <= MOST_DAYS else Granularity.MONTH

    @property
    def steps(self) -> list[date]:
        """The days of the period, or the firsts of its months."""
        return self.period.months if self.grain is Granularity.MONTH else self.period.dates

    @property
    def is_open(self) -> bool:
        """Whether the period still runs."""
        return self.period.start <= self.now < self.period.end

    @property
    def compare_until(self) -> datetime | None:
        """Where the comparison stops: a running period is held against as much of the other, to the hour."""
        if self.compare is None:
            return None
        if not self.is_open:
            return self.compare.end
        hour = self.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return min(self.compare.end, self.compare.start + (hour - self.period.start))


def filter_text(pair: Filter) -> str:
    """A filter as in a link and in the API: `agent:planner`; `team:` is what has no team."""
    return f"{pair[0]}:{pair[1] or ''}"


def parse_filter(text: str) -> Filter:
    """A filter from a link.

    Raises   BadInput for an unknown dimension.
    """
    dimension, colon, value = text.partition(":")
    if dimension == "tag":
        key, colon, value = value.partition(":")
        dimension = f"tag:{key}"
    elif dimension not in FILTER_DIMENSIONS:
        raise BadInput(
            f"filter={text}: {dimension or 'nothing'} is no dimension. Use one of {', '.join(FILTER_DIMENSIONS)}."
        )
    if not colon:
        raise BadInput(f"filter={text} has no value. Write {dimension}:VALUE, or {dimension}: for what has none.")
    return dimension, value or None


def default_period(project: Project, today: date) -> Period:
    """The month so far where it has charges; else the last days that have some. Of the sample everything."""
    if project.first_charge is None or project.last_charge is None:
        return month_so_far(today)
    first, last = project.first_charge.date(), project.last_charge.date()
    if project.is_demo:
        return Period(first, last)
    if last >= today.replace(day=1):
        return month_so_far(today)
    if (last - first).days < 31:
        return Period(first, last)
    month = month_of(last)
    return Period(month.first, last)


def view_of(path: str, search: str, projects: Sequence[Project], now: datetime, origin: str = "") -> View:
    """Read an address.

    Raises   BadInput for a parameter that says nothing, NotFound for an unknown project.
    """
    query = {name: tuple(values) for name, values in parse_qs(search.lstrip("?"), keep_blank_values=True).items()}
    last = {name: values[-1] for name, values in query.items()}
    if not projects:
        raise NotFound("there is no project yet. Run `jevons migrate`, which makes the first one.")
    name = last.get("project")
    project = next((one for one in projects if one.name == name), None) if name else projects[0]
    if project is None:
        raise NotFound(f"there is no project {name}. There is {', '.join(one.name for one in projects)}.")
    today = now.date()
    period = parse_period(last["period"]) if last.get("period") else default_period(project, today)
    compare = last.get("compare", "previous")
    # Nothing is compared with a time before the first call, unless it is asked for.
    first = project.first_charge
    if compare == "none" or ("compare" not in last and first is not None and previous(period).end <= first):
        other = None
    elif compare in ("previous", "year"):
        other = previous(period) if compare == "previous" else year_before(period)
    else:
        other = parse_period(compare)
    try:
        basis = CostBasis(last.get("basis", "effective"))
    except ValueError:
        raise BadInput(f"basis={last['basis']} is no cost. Use list, billed or effective.") from None
    return View(
        path=path,
        query=query,
        projects=projects,
        project=project,
        period=period,
        compare=other,
        filters=tuple(dict.fromkeys(parse_filter(text) for text in query.get("filter", ()))),
        basis=basis,
        theme="dark" if last.get("theme") == "dark" else "light",
        now=now,
        origin=origin,
        own={key: value for key, value in last.items() if key not in STANDING},
    )
