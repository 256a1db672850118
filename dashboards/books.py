"""What the pages about prices, tasks and settings need to know, as a Protocol; the composition root answers it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from models.core.books import Key, MissingPrice, Outcomes, Person, PriceBook, Rate


class Books(Protocol):
    """Read-only answers. What changes something goes through the API, as for scripts."""

    def rates(self, project_id: int, models: Sequence[tuple[str | None, str | None]]) -> Sequence[Rate]:
        """The rates of these models, named by provider and model as calls are, and all own ones."""
        ...

    def price_books(self, project_id: int) -> Sequence[PriceBook]:
        """Every price book a project can see, the newest first."""
        ...

    def missing_prices(self, project_id: int, start: datetime, end: datetime) -> Sequence[MissingPrice]:
        """Models without a price and the usage that they hide, the most tokens first."""
        ...

    def outcomes(self, project_id: int, start: datetime, end: datetime) -> Outcomes:
        """How the tasks of the period ended."""
        ...

    def keys(self) -> Sequence[Key]:
        """Every key, the newest first."""
        ...

    def people(self) -> Sequence[Person]:
        """Every user, by name."""
        ...


_books: Books | None = None


def use_books(books: Books | None) -> None:
    """Hand the books to the pages; called once by the composition root."""
    global _books
    _books = books


def current_books() -> Books | None:
    """The books in force, or None where the pages run without them."""
    return _books
