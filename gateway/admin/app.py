"""The HTTP side of the operators' door: /livez, /readyz, /metrics, /status. It reads, and changes nothing.

Bind it to an address that only operators and the scraper reach: nothing here asks who is there.
"""

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.admin.health import Health

_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_MAX_REQUEST_BYTES = 4_096


def build_admin(
    health: Health, registry: CollectorRegistry, status: Callable[[], Mapping[str, object]]
) -> web.Application:
    """The application; `status` gives the JSON summary and runs in the event loop, so it must be quick."""

    async def livez(_: web.Request) -> web.Response:
        return _json({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        reasons = health.reasons()
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={**_NO_STORE, "Content-Type": content_type})

    async def summary(_: web.Request) -> web.Response:
        return _json(status())

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/status", summary),
        ]
    )
    return app


def _json(value: object, status: int = 200) -> web.Response:
    body = orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, status=status, content_type="application/json", headers=_NO_STORE)
