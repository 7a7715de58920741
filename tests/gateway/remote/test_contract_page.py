"""docs/connect/core.md says what the code does: every field of every message, in its order, and an example that is one.

Modules: remote.wire, protocols.messages.
"""

import re
from pathlib import Path

import msgspec
import pytest

from gateway.remote.wire import LONG, decode_commands
from protocols.messages import (
    CancelOrder,
    CancelRejected,
    Command,
    Event,
    MassCancel,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    OrderList,
    QueryOrders,
    ReplaceOrder,
    Side,
)

PAGE = (Path(__file__).parents[3] / "docs" / "connect" / "core.md").read_text()
_COMMANDS = (NewOrder, CancelOrder, ReplaceOrder, MassCancel, QueryOrders)
_EVENTS = (OrderEvent, CancelRejected, MassCancelDone, OrderList)


def told(fields):
    """As the page has them: `name`, and L when it is a number of 64 bits."""
    return [f"`{name}`" + (" L" if name in LONG else "") for name in fields]


def names(struct):
    return [field.name for field in msgspec.structs.fields(struct)]


@pytest.mark.parametrize("struct", [*_COMMANDS, *_EVENTS])
def test_the_page_has_every_field_of_a_message_in_its_order(struct):
    head = names(Command if struct in _COMMANDS else Event)
    (row,) = re.findall(rf"^\| `{struct.__struct_config__.tag}` \| [^|]+ \| (.*) \|$", PAGE, re.MULTILINE)
    assert row.split(", ") == told(names(struct)[len(head) :])


@pytest.mark.parametrize("struct", [Command, Event])
def test_the_page_says_what_all_messages_begin_with(struct):
    assert f"All begin with {', '.join(told(names(struct)))}." in PAGE


def test_the_example_is_an_order():
    (example,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    (order,) = decode_commands(example.encode(), "json")
    assert isinstance(order, NewOrder)
    assert (order.side, order.qty, order.price) == (Side.BUY, 1_250_000, 6_425_050)
