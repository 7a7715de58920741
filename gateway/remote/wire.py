"""What goes over the link to a core: commands one way, events the other, as msgpack or as JSON.

msgpack has the arrays of `protocols.messages`: the tag, then the fields in their order; a tail of defaults may be left
out. JSON has objects with the names of the fields, `type` for the tag, and defaults left out. In JSON an integer of 64
bits is a string of digits, as in the JSON form of protobuf: a reader that has only doubles would round it. Both forms
are read with numbers too. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from protocols.messages import (
    AnyCommand,
    AnyEvent,
    CancelOrder,
    CancelRejected,
    EngineState,
    MassCancel,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    OrderList,
    QueryOrders,
    ReplaceOrder,
)
from protocols.runs import HandOver, NewOrders, encoded_rows

CONTRACT = b"1"
"""The version of what is on the link."""
Encoding = Literal["msgpack", "json"]
FIELDS: dict[Encoding, str] = {"msgpack": "m", "json": "j"}
"""The field of an entry that has the messages."""

LONG = frozenset(
    (
        "cmd_id", "t_recv", "deadline", "sent_at", "expire_at", "t_core", "created_at",
        "qty", "price", "stop_px", "quote_qty", "display_qty", "min_qty",
        "seq", "order_id", "exec_id", "trade_id", "cum_qty", "leaves_qty", "cum_quote", "last_qty", "last_px", "fee",
    )
)  # fmt: skip
"""The fields of 64 bits: strings in JSON."""

_COMMANDS = (NewOrder, CancelOrder, ReplaceOrder, MassCancel, QueryOrders)
_EVENTS = (OrderEvent, CancelRejected, MassCancelDone, OrderList, EngineState)
_STRUCTS: dict[str, type[msgspec.Struct]] = {
    str(struct.__struct_config__.tag): struct for struct in (*_COMMANDS, *_EVENTS)
}
_pack = msgspec.msgpack.Encoder().encode
_unpack_commands = msgspec.msgpack.Decoder(list[AnyCommand]).decode
_unpack_events = msgspec.msgpack.Decoder(list[AnyEvent]).decode
_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(list[dict[str, Any]]).decode


class NotUnderstood(Exception):
    """What came over the link is not what the contract says; the text names the message and the field."""


def encode_commands(commands: Sequence[AnyCommand], encoding: Encoding) -> bytes:
    """One hand-over."""
    if encoding == "json":
        return _as_json(commands)
    rows: list[object] = []
    for part in commands.parts if isinstance(commands, HandOver) else (commands,):
        rows += encoded_rows(part) if isinstance(part, NewOrders) else part
    return _pack(rows)


def encode_events(events: Sequence[AnyEvent], encoding: Encoding) -> bytes:
    """One batch of events."""
    return _pack(list(events)) if encoding == "msgpack" else _as_json(events)


def decode_commands(data: bytes, encoding: Encoding) -> list[AnyCommand]:
    """The commands of one hand-over.

    Raises:
        NotUnderstood: nothing of it may be executed.
    """
    commands: list[AnyCommand] = _decode(data, encoding, _unpack_commands, list[AnyCommand])
    return commands


def decode_events(data: bytes, encoding: Encoding) -> list[AnyEvent]:
    """The events of one batch.

    Raises:
        NotUnderstood: nothing of it may be reported.
    """
    events: list[AnyEvent] = _decode(data, encoding, _unpack_events, list[AnyEvent])
    return events


def payload(fields: Mapping[bytes, bytes]) -> tuple[bytes, Encoding] | None:
    """The messages in an entry, and their form; None = it has none."""
    for encoding, field in FIELDS.items():
        if (data := fields.get(field.encode())) is not None:
            return data, encoding
    return None


def _decode(data: bytes, encoding: Encoding, unpack: Callable[[bytes], Any], kind: Any) -> Any:
    try:
        if encoding == "msgpack":
            return unpack(data)
        return msgspec.convert([_row(each) for each in _from_json(data)], kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotUnderstood(str(error)) from error


def _as_json(messages: Sequence[msgspec.Struct]) -> bytes:
    return _to_json([_object(message) for message in messages])


def _object(message: msgspec.Struct) -> dict[str, object]:
    """A message as JSON has it."""
    told: dict[str, object] = {"type": message.__struct_config__.tag}
    for field in msgspec.structs.fields(message):
        value = getattr(message, field.name)
        if not field.required and value == field.default:
            continue
        if field.name in LONG:
            told[field.name] = str(value)
        elif field.name == "orders":
            told[field.name] = [_object(each) for each in value]
        else:
            told[field.name] = value
    return told


def _row(told: dict[str, Any]) -> list[object]:
    """The array of a message that came as an object."""
    struct = _STRUCTS.get(told.pop("type", ""))
    if struct is None:
        raise NotUnderstood("a message without a type, or of an unknown one")
    tag = struct.__struct_config__.tag
    row: list[object] = [tag]
    for field in msgspec.structs.fields(struct):
        if field.name not in told:
            if field.required:
                raise NotUnderstood(f"{tag}: {field.name} is missing")
            row.append(field.default)
            continue
        value = told.pop(field.name)
        if field.name in LONG and isinstance(value, str):
            value = _whole(value, f"{tag}: {field.name}")
        elif field.name == "orders":
            value = [_row(each) for each in value]
        row.append(value)
    if told:
        raise NotUnderstood(f"{tag}: {next(iter(told))} is no field of it")
    return row


def _whole(text: str, what: str) -> int:
    digits = text[1:] if text[:1] == "-" else text
    if not (0 < len(digits) <= 19 and digits.isascii() and digits.isdigit()):
        raise NotUnderstood(f"{what} is no whole number of 64 bits")
    return int(text)
