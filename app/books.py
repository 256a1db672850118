"""Answers for the pages about prices, tasks and settings, out of the store."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from app import wiring
from models.core.books import Key, MissingPrice, Outcomes, Person, PriceBook, Rate
from models.prices.skus import price_key
from models.store.judged_tasks import outcomes_of
from models.store.prices import list_books, rates_in_force
from models.store.projects import list_keys, list_projects, list_users
from models.store.unpriced import unpriced_usage


class StoreBooks:
    """Answers `dashboards.books.Books`."""

    def rates(self, project_id: int, models: Sequence[tuple[str | None, str | None]]) -> Sequence[Rate]:
        """The rates of these models and all own ones, by model, bucket and time."""
        with wiring.transaction() as connection:
            rates = rates_in_force(connection, project_id).rates
        named = {(key.provider, key.model) for key in (price_key(*pair) for pair in models)}
        pairs = pl.concat_str([pl.col("price_provider"), pl.col("price_model")], separator="\0")
        wanted = pairs.is_in([f"{provider}\0{model}" for provider, model in named]) | (pl.col("priority") > 0)
        order = ["price_provider", "price_model", "bucket", "tier", "context_from", "valid_from"]
        return [
            Rate(
                provider=row["price_provider"],
                model=row["price_model"],
                bucket=row["bucket"],
                price_per_m=row["price_per_m"],
                tier=row["tier"],
                context_from=row["context_from"] or 0,
                valid_from=row["valid_from"],
                valid_to=row["valid_to"],
                source=row["source"],
                is_own=row["priority"] > 0,
            )
            for row in rates.filter(wanted).sort(order, nulls_last=False).to_dicts()
        ]

    def price_books(self, project_id: int) -> Sequence[PriceBook]:
        """Every book a project can see, superseded ones included."""
        with wiring.transaction() as connection:
            found = list_books(connection, project_id)
        return [
            PriceBook(
                id=book.book_id,
                name=book.name,
                source=book.source,
                rates=book.rates,
                is_own=book.project_id is not None,
                recorded_at=book.recorded_at,
                recorded_by=book.recorded_by,
                superseded_at=book.superseded_at,
            )
            for book in found
        ]

    def missing_prices(self, project_id: int, start: datetime, end: datetime) -> Sequence[MissingPrice]:
        """Models without a price, the most tokens first."""
        with wiring.transaction() as connection:
            found = unpriced_usage(connection, [project_id], start, end)
        return [
            MissingPrice(
                provider=row.provider,
                model=row.model,
                reason=row.reason,
                calls=row.calls,
                tokens=row.tokens,
                last=row.last,
            )
            for row in found
        ]

    def outcomes(self, project_id: int, start: datetime, end: datetime) -> Outcomes:
        """How the tasks of the period ended."""
        with wiring.transaction() as connection:
            return outcomes_of(connection, project_id, start, end)

    def keys(self) -> Sequence[Key]:
        """Every key, the newest first."""
        with wiring.transaction() as connection:
            names = {project.id: project.name for project in list_projects(connection)}
            found = list_keys(connection)
        return [
            Key(
                id=key.id,
                project=names[key.project_id],
                name=key.name,
                scope=key.scope,
                hint=key.hint,
                created_at=key.created_at,
                expires_at=key.expires_at,
                revoked_at=key.revoked_at,
            )
            for key in found
        ]

    def people(self) -> Sequence[Person]:
        """Every user, by name."""
        with wiring.transaction() as connection:
            found = list_users(connection)
        return [Person(name=name, role=role, disabled=disabled) for name, role, disabled in found]
