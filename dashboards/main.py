"""The pages as one Dash application on the FastAPI server that also serves the API."""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import dash
from dash import Dash, State
from fastapi import FastAPI

from dashboards import (
    acts,
    book_downloads,
    cache_downloads,
    control_downloads,
    curve_downloads,
    downloads,
    hardware_downloads,
    shell,
)
from dashboards.books import Books, use_books
from dashboards.desk import Desk, use_desk
from dashboards.fleet import Fleet, use_fleet
from dashboards.month_desk import MonthDesk, use_month_desk
from dashboards.pages import (
    agents,
    budgets,
    cache,
    calls,
    chargeback,
    hardware,
    not_found_404,
    overview,
    prices,
    quality,
    settings,
    spend_curves,
    tasks,
    trace,
)
from dashboards.reader import Reader, use_reader
from dashboards.statistics import use_statistics
from dashboards.theme import css_variables
from models.core.running import Run, here

# The theme stands in the address. Where it does not, the last choice or the system decides, before anything is drawn.
_THEME = """
const url = new URL(location), kept = localStorage.getItem("jevons-theme");
if (url.searchParams.has("theme")) localStorage.setItem("jevons-theme", url.searchParams.get("theme"));
else if (kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches) {
  url.searchParams.set("theme", "dark"); history.replaceState(null, "", url);
}
document.documentElement.dataset.mantineColorScheme = url.searchParams.get("theme") === "dark" ? "dark" : "light";
"""

_INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    {%favicon%}
    <style>__VARIABLES__</style>
    <script>__THEME__</script>
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""

PAGES = (
    overview,
    spend_curves,
    agents,
    tasks,
    trace,
    calls,
    cache,
    budgets,
    hardware,
    chargeback,
    prices,
    quality,
    settings,
    not_found_404,
)


def mount(
    server: FastAPI,
    reader: Reader | None = None,
    load_sample: Callable[[], str] | None = None,
    desk: Desk | None = None,
    fleet: Fleet | None = None,
    month_desk: MonthDesk | None = None,
    books: Books | None = None,
    statistics: Run = here,
) -> Dash:
    """Put the pages on a server: everything that no other route takes, and `/download/…`.

    Routes of the API must be registered before the server starts: the pages answer every address left.
    Figures come from the reader given, or from the one handed to `dashboards.reader.use_reader`; none is read here.
    `desk` answers for budgets and incidents, `fleet` for hardware of one's own, `month_desk`
    for periods and who pays, `books` for prices, outcomes, keys and people. `statistics` runs what forecasts.
    `load_sample` is what the button of an empty page calls; it returns the name of the sample's project.
    """
    if reader is not None:
        use_reader(reader, load_sample)
    use_desk(desk)
    use_fleet(fleet)
    use_month_desk(month_desk)
    use_books(books)
    use_statistics(statistics)
    server.include_router(downloads.router)
    server.include_router(control_downloads.router)
    server.include_router(hardware_downloads.router)
    server.include_router(curve_downloads.router)
    server.include_router(cache_downloads.router)
    server.include_router(book_downloads.router)
    app = Dash(
        __package__,
        # Dash takes a FastAPI application here; its annotation still names Flask only.
        server=cast(Any, server),
        use_pages=True,
        use_async=True,
        pages_folder="",
        assets_folder=str(Path(__file__).parent / "assets"),
        title="Jevons",
        update_title="",
        suppress_callback_exceptions=True,
        index_string=_INDEX.replace("__VARIABLES__", css_variables()).replace("__THEME__", _THEME),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        routing_callback_inputs={"href": State(shell.LOCATION, "href")},
        add_log_handler=False,
        enable_mcp=False,
    )
    for page in PAGES:
        dash.register_page(page.__name__, path=page.PATH, title=page.TITLE, layout=page.layout)
        page.register(app)
    app.layout = shell.frame()
    shell.register(app)
    acts.register(app)
    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, _routed(app)).result()
    return app


async def _routed(app: Dash) -> None:
    """Set up the pages' router now.

    Dash does it at the first request for `/`: a first visitor by another address would get a page that lacks
    the function its title is set by. A thread of its own, because the caller may run in an event loop already.
    """
    backend = cast(Any, app.backend)
    for hook in backend._before_request_funcs:
        done = hook()
        if inspect.isawaitable(done):
            await done
