"""The process that calculates statistics: same answers, nothing imported here, and robust to its death."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import psutil
import pytest

from app.statistics_process import StatisticsProcess
from models.core.errors import BadInput
from models.core.running import NotCalculated
from models.costs.forecast import forecast

FIRST = date(2026, 1, 1)
SPEND = [100.0 + 10 * (day % 7) for day in range(40)]


@pytest.fixture
def process() -> Iterator[StatisticsProcess]:
    started = StatisticsProcess()
    yield started
    started.close()


def test_a_forecast_from_there_is_the_forecast_from_here(process: StatisticsProcess) -> None:
    assert process(forecast, FIRST, SPEND, 7) == forecast(FIRST, SPEND, 7)


def test_what_a_forecast_imports_stays_out_of_who_asks() -> None:
    program = (
        "import sys\nfrom datetime import date\nfrom app.statistics_process import StatisticsProcess\n"
        "from models.costs.forecast import forecast\nprocess = StatisticsProcess()\n"
        f"assert process(forecast, date(2026, 1, 1), {SPEND}, 7).method == 'seasonal'\nprocess.close()\n"
        "print([name for name in ('pandas', 'scipy', 'statsmodels') if name in sys.modules])"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    said = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, check=True
    )
    assert said.stdout.decode().strip() == "[]"


def test_faults_come_back_as_they_were_raised(process: StatisticsProcess) -> None:
    with pytest.raises(BadInput, match="not enough to forecast"):
        process(forecast, FIRST, [1.0], 7)
    assert process(round, 2.6) == 3


def test_a_process_that_was_killed_is_started_again(process: StatisticsProcess) -> None:
    before = process(os.getpid)
    assert before == process(os.getpid) != os.getpid()
    os.kill(before, signal.SIGKILL)
    assert process(os.getpid) != before


def test_a_calculation_that_kills_its_process_is_given_up(process: StatisticsProcess) -> None:
    with pytest.raises(NotCalculated, match="ended twice"):
        process(os._exit, 1)
    assert process(round, 2.6) == 3


def test_a_calculation_without_end_is_given_up() -> None:
    process = StatisticsProcess(answer_seconds=0.5)
    try:
        with pytest.raises(NotCalculated, match=r"after 0\.5 s"):
            process(time.sleep, 60)
        assert process.pid is None
    finally:
        process.close()


def test_the_process_ends_when_idle_and_comes_back() -> None:
    process = StatisticsProcess(idle_seconds=0.2)
    try:
        before = process(os.getpid)
        until = time.monotonic() + 10
        while process.pid is not None and time.monotonic() < until:
            time.sleep(0.05)
        assert process.pid is None
        assert process(os.getpid) != before
    finally:
        process.close()


def test_the_process_ends_with_who_asked_even_when_that_is_killed() -> None:
    program = (
        "import os, time\nfrom app.statistics_process import StatisticsProcess\n"
        "print(StatisticsProcess()(os.getpid), flush=True)\ntime.sleep(60)"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE
    ) as asking:
        assert asking.stdout is not None
        child = int(asking.stdout.readline())
        asking.kill()
    until = time.monotonic() + 10
    while _runs(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
