"""The `capacity` task: bills of own hardware are shared among the calls of their hour, once it is over."""

import logging
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app import wiring
from app.hardware import catalogue_of
from app.tasks.loop import until_empty
from app.worker import celery
from models.core.errors import JevonsError
from models.core.hardware import HardwareCatalogue, Replica, Role
from models.core.time import rfc3339
from models.costs.hardware_charging import Served, charge_hour
from models.costs.hardware_estimate import accelerator_named, architecture_named, kv_element_bytes
from models.store.capacity import Deployment, list_deployments
from models.store.capacity_queue import QUIET, claim_hour
from models.store.capacity_sharing import load_hour, write_shares
from models.store.closed_months import closed_months

log = logging.getLogger(__name__)


@celery.task(name="capacity", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def capacity() -> int:
    """Share waiting hours until none is due or the time box ends; returns how many were shared.

    Delivered at least once, effective once: an hour leaves the queue in the transaction that writes its shares, and
    sharing it again writes nothing where nothing changed.
    """
    done = until_empty("capacity", share_next_hour)
    if done:
        wiring.current().hint("rollup")
    return done


def share_next_hour(connection: Connection, quiet: timedelta = QUIET) -> int:
    """Share the hour that waits longest; returns 0 where none is due. Closed months stay as they are."""
    claimed = claim_hour(connection, quiet)
    if claimed is None:
        return 0
    project_id, hour = claimed
    if hour.date().replace(day=1) in closed_months(connection, project_id):
        log.warning("capacity of %s in project %d is not shared again: its month is closed", rfc3339(hour), project_id)
        return 1
    found = load_hour(connection, project_id, hour)
    catalogue = catalogue_of(wiring.current().settings.data_dir)
    deployments = list_deployments(connection, [project_id], retired=True)
    served = {str(each.deployment_id): serving(each, catalogue) for each in deployments}
    write_shares(connection, found, charge_hour(found.calls, found.bills, served))
    return 1


def serving(deployment: Deployment, catalogue: HardwareCatalogue) -> Served | str:
    """What a deployment serves with, or why it cannot be calculated: the catalogue may have lost an entry since."""
    fields = deployment.fields
    try:
        return Served(
            replica=Replica(
                accelerator=accelerator_named(catalogue, fields["accelerator"]),
                architecture=architecture_named(catalogue, fields["architecture"]),
                chips=fields["chips"],
                precision=fields["precision"],
                kv_element_bytes=kv_element_bytes(fields["kv_precision"]),
                attention_groups=fields["attention_groups"],
                factors=catalogue.prior,
            ),
            concurrency=fields["concurrency"],
            role=Role(fields["role"]),
        )
    except JevonsError as fault:
        return str(fault)
