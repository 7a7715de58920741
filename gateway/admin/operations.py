"""Operators' commands over HTTP: GET /modes shows what is barred, POST /modes changes it, POST /drain ends the process.

A POST must be `application/json`, which a page in an operator's browser cannot send to another origin without a
preflight. Before editing: every path of a handler ends in a JSON answer that says what is wrong and what to do.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec
from aiohttp import hdrs, web
from msgspec import structs

from gateway.admin.access import Access, AccessDenied, Role
from gateway.admin.answer import json_answer
from gateway.admin.mode_control import ModeControl, ModeRefused, ModeRequest, ModeResult
from gateway.doors.services import Services
from gateway.orders.trading_modes import ModeChange
from protocols.units import NS_PER_S

_decoder = msgspec.json.Decoder(ModeRequest)
_EXAMPLE = {
    "scope": "venue | account | session | instrument",
    "name": "its name; none for the venue",
    "mode": "normal | cancel_only | halted",
    "reason": "why; clients read it",
    "ttl_s": 0,
    "kill": False,
}


class Operations:
    """The routes, and who may use them."""

    def __init__(
        self,
        services: Services,
        desk: ModeControl,
        access: Access,
        drain: Callable[[], Mapping[str, object]],
    ) -> None:
        """drain: has the process drain and end, as SIGTERM does; returns what is open at that moment."""
        self._drain = drain
        self._services = services
        self._desk = desk
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/modes", self._guarded("viewer", self._show)),
            web.post("/modes", self._guarded("operator", self._change)),
            web.post("/drain", self._guarded("operator", self._begin_drain)),
        ]

    def _guarded(
        self, needs: Role, serve: Callable[[web.Request, str], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            authorization, host = request.headers.get(hdrs.AUTHORIZATION, ""), request.headers.get(hdrs.HOST, "")
            try:
                who = self._access.admit(authorization, host, needs)
            except AccessDenied as denied:
                refused = {"status": denied.status, "by": denied.who, "peer": request.remote, "path": request.path}
                self._services.log("operations.refused", **refused)
                answer = _wrong(denied.status, str(denied))
                if denied.status == 401:
                    answer.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
                return answer
            return await serve(request, who)

        return handle

    async def _show(self, _: web.Request, __: str) -> web.Response:
        modes = self._services.orders.venue.modes.shifted(self._services.wall.offset_ns)
        return json_answer({"modes": list(map(_shown, modes.in_force.values())), "kept": self._desk.is_kept})

    async def _begin_drain(self, request: web.Request, who: str) -> web.Response:
        if request.content_type != "application/json":
            return _no_json()
        self._services.log("operations.drain", by=who)
        return json_answer({**self._drain(), "drain_ms": self._services.settings.venue.drain_ms}, 202)

    async def _change(self, request: web.Request, who: str) -> web.Response:
        if request.content_type != "application/json":
            return _no_json()
        try:
            asked = _decoder.decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return json_answer({"error": {"text": str(error)}, "expected": _EXAMPLE}, 400)
        try:
            outcome = await self._desk.change(asked, who)
        except ModeRefused as declined:
            return _wrong(declined.status, str(declined), declined.field)
        at_ns = self._services.wall.utc_ns(outcome.change.at_ns)
        return _answer(structs.replace(outcome, change=structs.replace(outcome.change, at_ns=at_ns)))


def _no_json() -> web.Response:
    return _wrong(415, "send JSON, with Content-Type: application/json")


def _answer(outcome: ModeResult) -> web.Response:
    """200 if the mode is in force and saved as configured; 507 if it is in force but a restart would forget it."""
    body: dict[str, object] = {**_shown(outcome.change), "was": outcome.was, "kept": outcome.is_kept}
    if (sweep := outcome.sweep) is not None:
        counts = {"accounts": sweep.asked, "canceled": sweep.canceled, "unanswered": sweep.waiting}
        body["sweep"] = {**counts, "failure": sweep.failure}
    if outcome.trouble:
        body["error"] = {"text": f"in force, but it will not survive a restart: {outcome.trouble}"}
    return json_answer(body, 507 if outcome.trouble else 200)


def _shown(change: ModeChange) -> dict[str, object]:
    what = {"scope": change.scope, "name": change.name, "mode": change.mode, "reason": change.reason, "by": change.by}
    until = _time_text(change.until_ns) if change.ttl_s else None
    return {**what, "at": _time_text(change.at_ns), "until": until}


def _time_text(ns: int) -> str:
    """RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).isoformat().replace("+00:00", "Z")


def _wrong(status: int, text: str, field: str = "") -> web.Response:
    return json_answer({"error": {"text": text, "field": field} if field else {"text": text}}, status)
