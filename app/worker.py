"""The Celery app: a broker that carries hints, tasks that take their work from PostgreSQL, and the beat schedule."""

import gc
import os
import pkgutil
from pathlib import Path
from typing import Any

# Polars starts a thread per core in every worker; the workers already share the cores.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

from celery import Celery, Task
from celery.signals import task_prerun

import app.tasks
from app import wiring
from models.core.errors import JevonsError

VISIBILITY_SECONDS = 3600
"""After this a task not acknowledged is given to another worker; longer than the slowest task."""
SWEEP_SECONDS = 1.0

celery = Celery("jevons", include=[module.name for module in pkgutil.iter_modules(app.tasks.__path__, "app.tasks.")])
celery.conf.update(
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "socket_connect_timeout": 2,
        "socket_timeout": 30,
        "global_keyprefix": "jevons:",
    },
    broker_connection_retry_on_startup=True,
    # Forever: a worker that gives up while the broker restarts would need a person.
    broker_connection_max_retries=None,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # A child forked after polars worked in its parent hangs: one task at a time, in the worker itself.
    worker_pool="solo",
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    enable_utc=True,
    task_default_queue="jevons",
    beat_schedule={
        # Old sweeps are worthless: one that waited longer than a few periods is dropped.
        "sweep": {"task": "sweep", "schedule": SWEEP_SECONDS, "options": {"expires": 5 * SWEEP_SECONDS}},
        "spend": {"task": "spend", "schedule": 60.0, "options": {"expires": 60.0}},
        "keep": {"task": "keep", "schedule": 3600.0, "options": {"expires": 3600.0}},
        "resolve_silent": {"task": "resolve_silent", "schedule": 30.0, "options": {"expires": 30.0}},
    },
)


def connect() -> Celery:
    """The Celery app with the broker of the wiring in force.

    Raises   JevonsError where no broker is known.
    """
    broker = wiring.current().broker_url
    if broker is None:
        raise JevonsError("no broker is known. Set JEVONS_REDIS_URL, or start an instance with `jevons up`.")
    celery.conf.update(broker_url=broker)
    return celery


@task_prerun.connect
def _heard(task: Task, **_: Any) -> None:
    hints = wiring.current().hints
    if hints is not None:
        hints.heard(str(task.name))


def run_worker(name: str) -> None:
    """Work until told to stop; SIGTERM lets the task in hand end first."""
    # A batch makes hundreds of thousands of objects and no cycles: looking for some in between is wasted.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    level = wiring.current().settings.log_level
    connect().worker_main(
        [
            "worker",
            "--pool=solo",
            f"--hostname={name}@%h",
            f"--loglevel={level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def run_beat(schedule: Path) -> None:
    """Send the beat until told to stop. `schedule` is the file in which beat remembers its last ones."""
    # A line per second would fill the log.
    connect().Beat(schedule=str(schedule), pidfile=None, loglevel="WARNING").run()
