"""The database of an instance whether it runs or not: commands about keys must work before the first start."""

from collections.abc import Iterator
from contextlib import contextmanager

from app import runtime
from app.settings import Settings


@contextmanager
def database_of(settings: Settings, *, migrated: bool = True) -> Iterator[str]:
    """Address of a database, migrated unless it is to be filled; an embedded one runs for the while.

    Raises   JevonsError where it cannot be started, migrated or reached.
    """
    from app.migrate import upgrade

    try:
        url, _ = runtime.addresses(settings)
    except runtime.NoInstance:
        from app.embedded.postgres import Postgres
        from app.supervisor import sole_instance

        with sole_instance(settings.data_dir):
            server = Postgres(settings.data_dir)
            server.start()
            try:
                if migrated:
                    upgrade(server.url)
                yield server.url
            finally:
                server.stop()
        return
    if migrated:
        upgrade(url)
    yield url
