"""The HTTP routes beside the socket: health, readiness, version, metrics."""

from __future__ import annotations

import re
from typing import Final, final

import msgspec
from aiohttp import web

from roomlog.server.hub import Hub
from roomlog.server.manifest import build_manifest

ROOM_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)
PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


def problem(status: int, problem_class: str, detail: str) -> web.Response:
    """`application/problem+json` (RFC 9457) with a reject class."""
    body = {"type": "about:blank", "title": problem_class, "status": status, "detail": detail}
    body["class"] = problem_class
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/problem+json"
    )


@final
class Routes:
    """The plain routes of one server."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._manifest = msgspec.json.format(msgspec.json.encode(build_manifest()), indent=2)

    def add_to(self, application: web.Application) -> None:
        """Register every route."""
        application.router.add_get("/healthz", self.healthz)
        application.router.add_get("/readyz", self.readyz)
        application.router.add_get("/version", self.version)
        application.router.add_get("/metrics", self.metrics)

    async def healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """New sessions are welcome: not while draining, not while the store takes no writes."""
        if self._hub.is_draining:
            return problem(503, "draining", "the server is about to stop")
        if self._hub.is_store_down:
            return problem(503, "store_unavailable", "the store takes no writes")
        return web.json_response({"status": "ready"})

    async def version(self, request: web.Request) -> web.Response:
        """The build manifest."""
        return web.Response(body=self._manifest, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text."""
        return web.Response(
            body=self._hub.metrics.exposition(), headers={"Content-Type": PROMETHEUS_TEXT}
        )
