"""Liveness, readiness and Prometheus metrics."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app import wiring
from app.auth import Principal, viewer
from app.measures import exposition

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def live() -> dict[str, str]:
    """Whether the process answers at all."""
    return {"status": "ok"}


def readiness() -> dict[str, str]:
    """Each part and `ok`, or what is wrong with it."""
    from app import migrate  # Alembic is slow to import; the first question may wait for it, the start need not.

    found: dict[str, str] = {}
    parts = wiring.current()
    try:
        with parts.engine.connect() as connection:
            at, head = migrate.current_revision(connection), migrate.head_revision()
        found["database"] = "ok"
        found["migrations"] = "ok" if at == head else f"at {at}, this release needs {head}: run `jevons migrate`"
    except Exception as unreachable:
        found["database"] = f"unreachable: {type(unreachable).__name__}"
        found["migrations"] = "unknown"
    found["broker"] = _broker(parts.broker_url)
    return found


def _broker(url: str | None) -> str:
    if url is None:
        return "no address: set JEVONS_REDIS_URL"
    import redis  # Slow to import, and not needed until somebody asks.

    client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        client.ping()
    except redis.RedisError as unreachable:
        return f"unreachable: {type(unreachable).__name__}"
    finally:
        client.close()
    return "ok"


@router.get("/readyz", responses={503: {"description": "a part is missing; the body names it"}})
def ready() -> Response:
    """Whether requests can be answered: database, migrations, broker."""
    checks = readiness()
    is_ready = all(check == "ok" for check in checks.values())
    body: dict[str, Any] = {"status": "ok" if is_ready else "unavailable", "checks": checks}
    return Response(orjson.dumps(body), status_code=200 if is_ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response)
def metrics(_: Annotated[Principal, Depends(viewer)]) -> Response:
    """Counters and gauges of this instance in Prometheus' text format."""
    return Response(exposition(), media_type=CONTENT_TYPE_LATEST)
