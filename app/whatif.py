"""What-if over the ledger: the calls asked for, the rates a scenario needs, the answer."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from app.tasks.pricing import rates_of
from models.core.errors import NotFound
from models.core.hardware import HardwareCatalogue
from models.core.queries import CostQuery
from models.costs.whatif import WhatIf, run_scenario
from models.costs.whatif_scenario import scenario_of
from models.prices.skus import with_price_keys
from models.store.prices import list_books, load_rates
from models.store.whatif import calls_with_costs


def answer_whatif(
    connection: Connection,
    project_id: int,
    query: CostQuery,
    document: Mapping[str, Any],
    catalogue: HardwareCatalogue,
) -> WhatIf:
    """Replay the calls of a question under a scenario as written by its user.

    Raises   BadInput for a scenario that cannot be read or has no calls; NotFound for a book, an accelerator or a
             model that is not there.
    """
    scenario = scenario_of(document)
    rates = rates_of(connection, project_id).rates
    if scenario.book is not None:
        books = [book for book in list_books(connection, project_id) if scenario.book in (book.name, str(book.book_id))]
        if not books:
            raise NotFound(f"there is no price book {scenario.book!r}. `jevons prices books` lists them.")
        rates = load_rates(connection, [books[0].book_id])
    calls = with_price_keys(calls_with_costs(connection, query))
    return run_scenario(calls, scenario, rates, catalogue)
