"""JSON answers of the admin port: never cached, never sniffed, ending with a newline."""

import orjson
from aiohttp import web

NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_answer(value: object, status: int = 200) -> web.Response:
    """`value` as JSON; a type that JSON does not have becomes text."""
    body = orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, status=status, content_type="application/json", headers=NO_STORE)
