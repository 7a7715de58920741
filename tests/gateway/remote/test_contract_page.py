"""docs/connect/core.md says what the code does: every field of every message in its order, examples, codes, promises.

Modules: remote.wire, protocols.messages, remote.conform.promises, cli.conform.
"""

import re
from pathlib import Path

import msgspec
import pytest

from docs.generate_core import DIRECTORY, SAMPLES
from gateway.cli.conform import _FIRST_ACCOUNT, _lines
from gateway.remote.conform.promises import ACCOUNTS, PROMISES
from gateway.remote.conform.verdict import Verdict
from gateway.remote.wire import LONG, decode_commands, decode_events
from protocols import errors
from protocols.messages import (
    DUPLICATE,
    POSS_RESEND,
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


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_are_golden_messages_in_both_forms():
    commands, events = (tuple(block) for block in zip(blocks("text"), blocks("hex"), strict=True))
    golden = {sample.name: list(sample.messages) for sample in SAMPLES}
    assert decode_commands(commands[0].encode(), "json") == golden["D-order"]
    assert decode_events(events[0].encode(), "json") == golden["8-accepted"]
    for text, name in ((commands[1], "D-order"), (events[1], "8-accepted")):
        assert bytes.fromhex(text) == (DIRECTORY / f"{name}.msgpack").read_bytes()


def test_the_codes_of_the_rules_are_those_of_the_list():
    assert f"refused with {errors.DUPLICATE_ID} and `order_id`" in PAGE
    assert f"`flags` & {POSS_RESEND} (a retry)" in PAGE
    assert f"`flags` | {DUPLICATE}" in PAGE
    assert f"is refused with {errors.EXPIRED_IN_QUEUE}." in PAGE


def test_what_the_page_prints_of_the_examination_is_what_the_command_prints():
    printed = blocks("console")[1].splitlines()[3:-2]
    rows = [_lines(Verdict(promise.name, promise.sentence, "kept"))[0] for promise in PROMISES]
    assert printed == rows
    (once,) = (promise for promise in PROMISES if promise.name == "once")
    verdict = Verdict(once.name, once.sentence, "broken", "", "")
    for row in _lines(verdict):
        assert row in blocks("console")[2]


def test_the_page_has_a_row_for_each_promise():
    rows = re.findall(r"^\| `([a-z-]+)` \| (yes)? ?\| [a-z]", PAGE, re.MULTILINE)
    assert rows == [(promise.name, "yes" if promise.restarts else "") for promise in PROMISES]
    assert f"Its orders are of {ACCOUNTS} accounts in a row, from {_FIRST_ACCOUNT} or" in PAGE
