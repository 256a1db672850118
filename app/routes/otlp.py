"""OTLP over HTTP: read under a limit, hand to the collector, answer after the commit."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app import auth, wiring
from app.collector import Collector, StoreUnavailable
from app.errors import rpc_status
from app.intake_queue import Held, Overloaded
from app.otlp_answers import export_response
from app.receipts import Receipt
from app.settings import Settings
from ingest.envelope import TooLarge, inflated
from ingest.otlp import Encoding
from models.core.errors import JevonsError
from models.core.vocabulary import Signal

SMALL_BODY_BYTES = 64 * 1024
"""Up to this size, about a hundred spans, a body is decoded on the event loop: a thread would only wait for it."""
MEDIA_TYPES: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
PROJECT_SECONDS = 2.0
"""How long the project behind a set of credentials is believed without asking again."""


class UnknownMediaType(JevonsError):
    """A Content-Type that is not OTLP's."""

    code = "unknown_media_type"
    status = 415

    def __init__(self, media_type: str) -> None:
        super().__init__(f"Content-Type {media_type[:60]!r} is not taken; send one of {', '.join(MEDIA_TYPES)}.")


def make_collector(settings: Settings) -> Collector:
    """The collector of this process, on the wiring in force."""
    parts = wiring.current()
    return Collector(
        parts.engine,
        keep_content=settings.capture_content == "keep",
        max_queue_bytes=settings.max_queue_bytes,
        max_age=timedelta(days=settings.max_span_age_days),
        max_future=timedelta(minutes=settings.max_span_future_minutes),
        hint=lambda: parts.hint("derive"),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    collector = app.state.collector = make_collector(wiring.current().settings)
    collector.start()
    try:
        yield
    finally:
        # What was received is committed before the process goes.
        await run_in_threadpool(collector.stop)


router = APIRouter(lifespan=_lifespan)
_projects: dict[tuple[str | None, ...], tuple[float, int]] = {}


async def _project_of(request: Request) -> int:
    """The project of whoever sends.

    Raises   Unauthorized, Forbidden.
    """
    headers = request.headers
    credentials = (
        headers.get("authorization"),
        headers.get("x-api-key"),
        headers.get(auth.PROJECT_HEADER),
        auth.session_user(request),
    )
    now = time.monotonic()
    known = _projects.get(credentials)
    if known is not None and known[0] > now:
        return known[1]
    # Looking up may wait for the database, which must not hold up the event loop.
    who = await run_in_threadpool(auth.principal_from, *credentials)
    if who.role == "viewer":
        raise auth.Forbidden(f"{who.actor} may only read; sending telemetry needs a key of scope ingest.")
    if len(_projects) > 10_000:
        _projects.clear()
    _projects[credentials] = (now + PROJECT_SECONDS, who.project_id)
    return who.project_id


def _declared(request: Request) -> int:
    """Bytes that Content-Length tells of; 0 where it does not.

    Raises   TooLarge, before a byte is read.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isdigit():
        return 0
    if int(declared) > (limit := wiring.current().settings.max_body_bytes):
        raise TooLarge(limit, "as sent")
    return int(declared)


async def _read(request: Request, limit: int, held: Held) -> bytes:
    """The body as sent, counted as it comes.

    Raises   TooLarge as soon as the limit is passed, QueueFull as soon as there is no room.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge(limit, "as sent")
        if size > held.size:
            held.resize(size)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _export(request: Request, signal: Signal) -> Response:
    project_id = await _project_of(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = MEDIA_TYPES.get(media_type)
    if encoding is None:
        raise UnknownMediaType(media_type)
    collector: Collector = request.app.state.collector
    with collector.hold(project_id, _declared(request)) as held:
        done = await _submitted(request, collector, held, encoding, signal)
        receipt = await asyncio.wrap_future(done)
    return Response(export_response(signal, encoding, receipt), media_type=media_type)


async def _submitted(
    request: Request, collector: Collector, held: Held, encoding: Encoding, signal: Signal
) -> "Future[Receipt]":
    """Read, inflate and submit. A function of its own, so that the body is gone while its commit is awaited."""
    limit = wiring.current().settings.max_body_bytes
    sent = await _read(request, limit, held)
    coding = request.headers.get("content-encoding", "")

    def submit() -> "Future[Receipt]":
        nonlocal sent
        body, sent = inflated(sent, coding, limit), b""
        if coding:
            held.resize(len(body))
        return collector.submit(body, encoding, signal, held.project_id, held=held)

    if len(sent) <= SMALL_BODY_BYTES and not coding:
        return submit()
    return await asyncio.get_running_loop().run_in_executor(collector.decoders, submit)


async def answer(request: Request, signal: Signal) -> Response:
    """Take one request of a signal; success means that what it brought is stored."""
    try:
        return await _export(request, signal)
    except (Overloaded, StoreUnavailable) as busy:
        # Retry-After makes exporters keep their batch and come back.
        return rpc_status(request, busy.status, str(busy), {"Retry-After": str(busy.retry_after_seconds)})
    except ClientDisconnect:
        return Response(status_code=400)


@router.post("/v1/traces", tags=["otlp"])
async def export_traces(request: Request) -> Response:
    """Take an OTLP ExportTraceServiceRequest; success means that its spans are stored."""
    return await answer(request, Signal.TRACES)


@router.post("/v1/logs", tags=["otlp"])
async def export_logs(request: Request) -> Response:
    """Take an OTLP ExportLogsServiceRequest; success means that its records are stored."""
    return await answer(request, Signal.LOGS)


@router.post("/v1/metrics", tags=["otlp"])
async def export_metrics(request: Request) -> Response:
    """Take an OTLP ExportMetricsServiceRequest; success means that its points are stored."""
    return await answer(request, Signal.METRICS)
