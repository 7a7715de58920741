"""The promises of a core, in the order in which they are tested: each with its sentence and its dialogue."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gateway.remote.conform import dialogues, gateways, replaces, restarts
from gateway.remote.conform.dialogue import Dialogue


class Promise(NamedTuple):
    """One of them. restarts: its dialogue kills the core."""

    name: str
    sentence: str
    play: Callable[[Dialogue], Awaitable[None]]
    restarts: bool = False


PROMISES = (
    Promise("hello", "`hello` is answered with where the core stands, and with the open orders.", dialogues.hello),
    Promise(
        "acknowledged",
        "Each entry with commands is acknowledged under its id, with the id of the one before.",
        dialogues.acknowledged,
    ),
    Promise("order", "Entries are executed in their order, and the commands of an entry in theirs.", dialogues.order),
    Promise("answers", "A command is answered once, by the last event with its cmd_id.", dialogues.answers),
    Promise("causes", "An event of an order that another command has hit has cmd_id 0.", dialogues.causes),
    Promise(
        "numbers",
        "The events of an account are numbered without a gap, and its stream has each of them.",
        dialogues.numbers,
    ),
    Promise("once", "A cmd_id that was executed before causes nothing.", dialogues.once),
    Promise("lanes", "The numbers of the lanes of a session are independent, and may have gaps.", dialogues.lanes),
    Promise(
        "names",
        "A cl_ord_id that was used is refused with 4003; a retry is answered with the order's state.",
        dialogues.names,
    ),
    Promise(
        "replace",
        "A replace gives an order another id, price and quantity; what is filled stays, and so does its order_id.",
        replaces.replace,
    ),
    Promise("deadline", "An order whose deadline is over is refused with 5003.", dialogues.deadline),
    Promise(
        "mass-cancel",
        "What came before a mass cancel is not live after it, also when it is handed over again.",
        dialogues.mass_cancel,
    ),
    Promise("hosts", "Each gateway is told of the accounts that it hosts, until its `bye`.", gateways.hosts),
    Promise(
        "join", "A gateway takes an account with `join`, which `joined` answers, until its `leave`.", gateways.join
    ),
    Promise(
        "late-order",
        "An order that another gateway had before a mass cancel is refused with 5006 after it.",
        gateways.late_order,
    ),
    Promise("error", "Of an entry that is not understood nothing is executed, and `error` says why.", dialogues.error),
    Promise("tail", "A core that was killed executes each entry that it had not.", restarts.tail, restarts=True),
    Promise("durable", "What a core has acknowledged it knows after it was killed.", restarts.durable, restarts=True),
    Promise(
        "second-life",
        "A core that was killed goes on as if it had not been: the same orders, ids and turns.",
        restarts.second_life,
        restarts=True,
    ),
)
ACCOUNTS = 2 * len(PROMISES)
"""How many accounts the dialogues use."""
