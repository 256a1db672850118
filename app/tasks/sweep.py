"""The `sweep` task: beat sends it every second; it finds work whose hint was lost and sends the hint again."""

from app import wiring
from app.worker import celery
from models.store.backlog import backlog


@celery.task(name="sweep")
def sweep() -> list[str]:
    """Send a hint for every queue that is not empty; returns their names. The rows are the truth, hints are not."""
    with wiring.current().transaction() as connection:
        waiting = backlog(connection)
    for task in waiting:
        wiring.current().hint(task)
    return waiting
