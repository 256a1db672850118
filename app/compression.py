"""Compression of pages and API answers; assets that never change are compressed once and kept."""

import gzip
from collections import OrderedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASSETS = ("/_dash-component-suites/", "/assets/", "/static/")
KEPT_BYTES = 64 * 2**20


class Compression:
    """Gzip for everything but OTLP, whose senders compress themselves and expect plain answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.plain = app
        self.gzipped = GZipMiddleware(app, minimum_size=1000, compresslevel=5)
        self.kept: OrderedDict[str, tuple[list[tuple[bytes, bytes]], bytes]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose by path: OTLP plain, assets from memory, the rest compressed as it goes."""
        if scope["type"] != "http" or scope["path"].startswith("/v1/"):
            await self.plain(scope, receive, send)
            return
        takes_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        if scope["method"] == "GET" and takes_gzip and scope["path"].startswith(ASSETS):
            await self._asset(scope, receive, send)
            return
        await self.gzipped(scope, receive, send)

    async def _asset(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A large script costs a third of a second to compress; do that once per process."""
        key = f"{scope['path']}?{scope['query_string'].decode()}"
        if key not in self.kept:
            start: Message | None = None
            parts: list[bytes] = []

            async def collect(message: Message) -> None:
                nonlocal start
                if message["type"] == "http.response.start":
                    start = message
                else:
                    parts.append(message.get("body", b""))

            plain = [
                pair for pair in scope["headers"] if pair[0] not in (b"if-none-match", b"if-modified-since", b"range")
            ]
            await self.plain({**scope, "headers": plain}, receive, collect)
            assert start is not None
            body = b"".join(parts)
            headers = MutableHeaders(raw=list(start["headers"]))
            if start["status"] != 200 or len(body) < 1000:
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
            body = gzip.compress(body, 9)
            headers["content-encoding"] = "gzip"
            headers["content-length"] = str(len(body))
            headers.add_vary_header("accept-encoding")
            self._keep(key, headers.raw, body)
        headers_raw, body = self.kept[key]
        etag = Headers(raw=headers_raw).get("etag")
        if etag is not None and Headers(scope=scope).get("if-none-match") == etag:
            await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", etag.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers_raw})
        await send({"type": "http.response.body", "body": body})

    def _keep(self, key: str, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.kept[key] = (headers, body)
        while len(self.kept) > 1 and sum(len(kept) for _, kept in self.kept.values()) > KEPT_BYTES:
            self.kept.popitem(last=False)
