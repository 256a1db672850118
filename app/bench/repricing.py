"""`jevons reprice --dry-run` over everything in the ledger: calls per second, its start-up taken off."""

import json
import subprocess
import time

from app.bench.client import BenchFailed
from app.bench.instance import Instance

EVER = ("2025-01-01", "2035-01-01")
NEVER = ("2025-01-01", "2025-01-02")
LIMIT_SECONDS = 240.0


def measure_repricing(instance: Instance) -> dict[str, float]:
    """Calls priced again per second, and what ten million would take at that speed (extrapolated)."""
    idle, _ = _dry_run(instance, *NEVER)
    seconds, calls = _dry_run(instance, *EVER)
    rate = calls / max(seconds - idle, 0.001)
    return {"re-price: calls": calls, "re-price: calls/s": rate, "re-price: s per 10 M": 10_000_000 / rate}


def _dry_run(instance: Instance, start: str, end: str) -> tuple[float, int]:
    command = instance.command("reprice", "--dry-run", "--json", "--from", start, "--to", end)
    began = time.monotonic()
    done = subprocess.run(command, env=instance.environment, capture_output=True, timeout=LIMIT_SECONDS, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise BenchFailed(f"`jevons reprice --dry-run` failed: {done.stderr.decode(errors='replace')[-500:]}")
    projects = json.loads(done.stdout)["projects"]
    if any(project["changed"] for project in projects):
        raise BenchFailed(f"pricing again by the same rates changed charges: {projects}")
    return seconds, sum(project["calls"] for project in projects)
