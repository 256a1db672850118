"""The `count` task: tasks that changed are counted into their shapes, so that distinct counts are read quickly."""

from sqlalchemy.exc import OperationalError

from app.tasks.loop import until_empty
from app.worker import celery
from models.store.task_counts import count_tasks

BATCH_MARKS = 5_000


@celery.task(name="count", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def count() -> int:
    """Count changed tasks until none is left or the time box ends; returns how many were counted.

    Answers do not wait for this: a task not counted yet is read from its cells. Counting twice changes nothing.
    """
    return until_empty("count", lambda connection: count_tasks(connection, BATCH_MARKS))
