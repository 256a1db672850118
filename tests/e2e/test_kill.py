"""kill -9 in the middle of a load: every acknowledged span is stored once and priced once."""

import os
import signal
import time
from decimal import Decimal
from pathlib import Path
from threading import Thread

import psutil
import pytest

from tests.e2e.conftest import EVER, Instance, eventually
from tests.e2e.load import CALLS_PER_TRACE, COST_PER_CALL, SPANS_PER_TRACE, requests, send_until_acknowledged

TRACES = 2_000
"""Times ten spans: 20,000."""


def _victim(instance: Instance, what: str) -> psutil.Process:
    """The process of one service of this instance, by what its command line says."""

    def is_it(process: psutil.Process) -> bool:
        line = " ".join(process.cmdline())
        if what == "worker":
            return "celery" in line and " worker" in line
        if what == "valkey":
            return "valkey-server" in line or "redis-server" in line
        return Path(process.exe()).name == "postgres" and "-D" in line

    def find() -> psutil.Process | None:
        return next((p for p in psutil.process_iter() if _belongs(p, instance) and is_it(p)), None)

    return eventually(find)


def _belongs(process: psutil.Process, instance: Instance) -> bool:
    try:
        family = {process.pid, *(parent.pid for parent in process.parents())}
        mentions = any(str(instance.data_dir) in word for word in process.cmdline())
    except psutil.Error:
        return False
    return instance.process.pid in family or mentions


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "valkey", "postgres"])
def test_a_killed_server_loses_nothing_and_doubles_nothing(instance: Instance, what: str) -> None:
    name = f"load-{what}"
    before = instance.settled()["spans_stored"]
    bodies = list(requests(name, TRACES, traces_per_request=10))
    sender = Thread(target=send_until_acknowledged, args=(instance.url, bodies, 8))
    sender.start()
    time.sleep(1)
    os.kill(_victim(instance, what).pid, signal.SIGKILL)
    sender.join(150)
    assert not sender.is_alive()
    # What was acknowledged and whose answer was lost was sent again: twice must be once.
    send_until_acknowledged(instance.url, bodies[:20], 4)
    status = instance.settled(120)
    assert status["spans_stored"] - before == TRACES * SPANS_PER_TRACE
    totals = instance.get("/api/v1/costs", **EVER, filter=f"service:{name}")["totals"]
    assert totals["calls"] == TRACES * CALLS_PER_TRACE
    assert Decimal(totals["list_cost"]) == TRACES * CALLS_PER_TRACE * COST_PER_CALL
    assert totals["unpriced_calls"] == 0
