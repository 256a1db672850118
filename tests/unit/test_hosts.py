"""Names by which an open instance answers, and how long failed logins wait."""

import pytest

from app.hosts import is_own_host
from app.settings import Settings
from app.throttle import FAILURES, WINDOW_SECONDS, Throttle


@pytest.mark.parametrize(
    ("header", "is_ours"),
    [
        (None, True),
        ("localhost:4318", True),
        ("127.0.0.1", True),
        ("[::1]:4318", True),
        ("192.168.1.7:4318", True),
        ("jevons:4318", True),
        ("traces.localhost", True),
        ("costs.example.org:443", True),
        ("COSTS.EXAMPLE.ORG", True),
        ("evil.example", False),
        ("evil.example:4318", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
    ],
)
def test_only_names_of_this_machine_are_ours(header: str | None, is_ours: bool) -> None:
    assert is_own_host(header, Settings(allowed_hosts="costs.example.org, ")) is is_ours


def test_failures_too_many_wait_until_the_first_of_them_is_old() -> None:
    now = 0.0
    throttle = Throttle(clock=lambda: now)
    for _ in range(FAILURES):
        assert throttle.wait_seconds("name ada", "address 10.0.0.1") == 0
        throttle.note_failure("name ada", "address 10.0.0.1")
        now += 1
    assert throttle.wait_seconds("name ada") == WINDOW_SECONDS - FAILURES
    assert throttle.wait_seconds("name bob", "address 10.0.0.1") == WINDOW_SECONDS - FAILURES
    assert throttle.wait_seconds("name bob", "address 10.0.0.2") == 0
    now = WINDOW_SECONDS
    assert throttle.wait_seconds("name ada") == 0
    throttle.note_failure("name ada")
    throttle.forget("name ada")
    assert throttle.wait_seconds("name ada") == 0
