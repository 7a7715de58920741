"""The two encodings of the wire, `gate.json.v1` and `gate.msgpack.v1`: one typed decoder and one encoder each.

A message is decoded in two steps, the envelope and then the params by method, so that a refusal can echo the id. For
any bytes, `request` returns a RequestEnvelope or raises `Malformed`, and `params` returns params or a Refusal.
"""

import re
from collections.abc import Callable

import msgspec
from msgspec import Raw, inspect

from protocols.errors import BAD_FIELD, MALFORMED, MISSING_FIELD, UNKNOWN_METHOD, Refusal
from protocols.ws.duplicate_keys import duplicate_in_json, duplicate_in_msgpack
from protocols.ws.results import METHODS
from protocols.ws.schema import LEGS, NO_PARAMS, BatchParams, BatchWire, LegParams, LegWire, Params, RequestEnvelope

_MAX_TEXT = 200
_AT = re.compile(r"(.*) - at `\$\.?([^`]*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)

# What msgspec raises for bad input: its own errors and UnicodeDecodeError are ValueErrors; too deep, a RecursionError.
_BAD_INPUT = (ValueError, RecursionError)


def _has_map(shape: inspect.Type) -> bool:
    if isinstance(shape, inspect.UnionType):
        return any(map(_has_map, shape.types))
    if isinstance(shape, inspect.VarTupleType):
        return _has_map(shape.item_type)
    return isinstance(shape, inspect.StructType | inspect.RawType)


def _is_nested(params: type[Params]) -> bool:
    shape = inspect.type_info(params)
    return isinstance(shape, inspect.StructType) and any(_has_map(field.type) for field in shape.fields)


_NESTED = frozenset(name for name, method in METHODS.items() if _is_nested(method.params))
"""Methods with maps inside their params."""


class Malformed(Exception):
    """A message that is not a request; the text says why."""


class Codec:
    """One encoding: bytes to typed requests, Structs to bytes. Stateless: `JSON` and `MSGPACK` serve all sessions."""

    def __init__(self, name: str) -> None:
        wire = msgspec.json if name == "json" else msgspec.msgpack
        self.name = name
        self.subprotocol = f"gate.{name}.v1"
        self.binary = name == "msgpack"
        self.encode: Callable[[object], bytes] = wire.Encoder().encode
        self._request: Callable[[bytes], RequestEnvelope] = wire.Decoder(RequestEnvelope).decode
        self._params: dict[str, Callable[[bytes | Raw], Params]] = {
            method: wire.Decoder(row.params).decode for method, row in METHODS.items()
        }
        self._legs: dict[str, Callable[[Raw], LegParams]] = {
            op: wire.Decoder(shape).decode for op, shape in LEGS.items()
        }
        self._empty = self.encode({})

    def request(self, data: bytes) -> RequestEnvelope:
        """The envelope of `data`.

        Raises:
            Malformed: the peer's fault.
        """
        try:
            return self._request(data)
        except RecursionError:
            raise Malformed("nested too deep") from None
        except ValueError as error:
            raise Malformed(str(error)[:_MAX_TEXT]) from None

    def params(self, request: RequestEnvelope, data: bytes) -> Params | BatchParams | Refusal:
        """The params of `request`, whose bytes are `data`; or a Refusal with the field to blame.

        The Refusal is 1006 (unknown method), 2001, 2002 or 1004 (a key occurs twice).
        """
        decode = self._params.get(request.method)
        if decode is None:
            return Refusal(UNKNOWN_METHOD, f"unknown method {request.method[:64]!r}", field="method")
        raw = request.params
        try:
            params = decode(self._empty if raw is NO_PARAMS else raw)
            duplicate = self._duplicate_key(request, params, data)
        except _BAD_INPUT as error:
            return _refusal(error)
        if duplicate is not None:
            return Refusal(MALFORMED, f"key {duplicate[:64]!r} is repeated", field=duplicate[:64])
        if isinstance(params, BatchWire):
            return BatchParams(tuple(self._leg(leg) for leg in params.legs), params.resp)
        return params

    def _duplicate_key(self, request: RequestEnvelope, params: Params, data: bytes) -> str | None:
        outer = 1 + (request.id is not None) + (request.traceparent != "")
        values = msgspec.structs.astuple(params)
        inner = len(values) - values.count(None)
        if request.params is not NO_PARAMS:
            outer += 1
        if not self.binary:
            return duplicate_in_json(data, outer + inner, (request.id, *values))
        # The header of a msgpack map counts its entries. If that is the number of known fields, and no value is a map,
        # no key occurs twice.
        if request.method in _NESTED or data[0] != 0x80 | outer:
            return duplicate_in_msgpack(data)
        if request.params is NO_PARAMS or memoryview(request.params)[0] == 0x80 | inner:
            return None
        return duplicate_in_msgpack(data)

    def _leg(self, leg: LegWire) -> LegParams | Refusal:
        try:
            return self._legs[leg.op](leg.params)
        except _BAD_INPUT as error:
            return _refusal(error)


def _refusal(error: Exception) -> Refusal:
    """The refusal of params that do not decode, with the client's own field names."""
    if isinstance(error, RecursionError):
        return Refusal(BAD_FIELD, "nested too deep", field="params")
    text = str(error)
    path = ""
    if at := _AT.match(text):
        text, path = at[1], at[2]
    if missing := _MISSING.match(text):
        field = f"{path}.{missing[1]}" if path else missing[1]
        return Refusal(MISSING_FIELD, f"{field[:64]} is required", field=field[:64])
    if unknown := _UNKNOWN.match(text):
        path = f"{path}.{unknown[1]}" if path else unknown[1]
    return Refusal(BAD_FIELD, text[:_MAX_TEXT], field=path[:64] or "params")


JSON = Codec("json")
MSGPACK = Codec("msgpack")
CODECS = {codec.name: codec for codec in (JSON, MSGPACK)}
