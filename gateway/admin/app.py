"""The HTTP side of the admin port: /livez, /readyz, /metrics, /status for reading; and operators' commands.

Bind it to an address that only operators and the scraper can reach: reading needs no token, commands do
(`gateway.admin.operations`).
"""

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.admin.answer import NO_STORE, json_answer
from gateway.admin.health import Health
from gateway.admin.operations import Operations

_MAX_REQUEST_BYTES = 4_096


def build_admin(
    health: Health,
    registry: CollectorRegistry,
    status: Callable[[], Mapping[str, object]],
    operations: Operations | None = None,
) -> web.Application:
    """The application. `status` gives the JSON summary; it runs in the event loop, so it must be quick."""

    async def livez(_: web.Request) -> web.Response:
        return json_answer({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        reasons = health.reasons()
        return json_answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={**NO_STORE, "Content-Type": content_type})

    async def summary(_: web.Request) -> web.Response:
        return json_answer(status())

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    for path, answer in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics), ("/status", summary)):
        app.router.add_get(path, answer)
    if operations is not None:
        app.add_routes(operations.routes())
    return app
