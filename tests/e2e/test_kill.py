"""kill -9 in the middle of a load: every acknowledged span is stored once and priced once."""

import json
import os
import signal
import time
from decimal import Decimal
from threading import Thread

import psutil
import pytest

from tests.e2e.conftest import EVER, Instance
from tests.e2e.load import CALLS_PER_TRACE, COST_PER_CALL, SPANS_PER_TRACE, requests, send_until_acknowledged

TRACES = 2_000
"""Times ten spans: 20,000."""


def _victim(instance: Instance, what: str) -> int:
    """The process id of one service of this instance."""
    if what == "postgres":
        return int((instance.data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])
    if what == "worker":
        return json.loads((instance.data_dir / "run" / "children.json").read_text())["worker-1"][0]
    folder = str(instance.data_dir / "valkey")
    return next(
        process.pid
        for process in psutil.process_iter()
        if "valkey-server" in process.name() and any(folder in word for word in [*process.cmdline(), process.cwd()])
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "valkey", "postgres"])
def test_a_killed_server_loses_nothing_and_doubles_nothing(instance: Instance, what: str) -> None:
    name = f"load-{what}"
    before = instance.settled()["spans_stored"]
    bodies = list(requests(name, TRACES, traces_per_request=10))
    sender = Thread(target=send_until_acknowledged, args=(instance.url, bodies, 8))
    sender.start()
    time.sleep(1)
    os.kill(_victim(instance, what), signal.SIGKILL)
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
