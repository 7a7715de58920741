"""The answers to runs of plain orders in JSON, one template for those that the core has taken.

What all answers of a run share is written once. With the same event, the text is that of `report.placed` in a
`results.Response`, byte for byte.
"""

from collections.abc import Mapping

from protocols.messages import DUPLICATE, ExecType, OrderEvent
from protocols.units import NS_PER_US
from protocols.ws.codec import JSON
from protocols.ws.enums import STATUS_WORDS
from protocols.ws.order_run import PlaceRun
from protocols.ws.results import LimitBlock

_REJECTED = ExecType.REJECTED


def place_answers(
    run: PlaceRun,
    first_cmd_id: int,
    finals: Mapping[int, OrderEvent],
    out_ns: int,
    limits: tuple[LimitBlock, ...] | None,
) -> dict[int, bytes | None]:
    """The answer to each order of the run, by cmd_id: b"" = none is wanted, None = it is not a usual one.

    Args:
        first_cmd_id: of the run's first order.
        finals: the last event of each order, by cmd_id.
        out_ns: the time of the answer, UTC.
        limits: what every answer shows.
    """
    orders = run.orders
    head = f',"status":200,"t":{{"in":{run.t_in_ns // NS_PER_US},"out":{out_ns // NS_PER_US}}},"result":{{"order_id":"'
    tail = f'}},"limits":{JSON.encode(limits).decode()}}}' if limits else "}}"
    answers: dict[int, bytes | None] = {}
    at_ns, at = -1, ""
    for cmd_id, event in finals.items():
        if event.exec_type is _REJECTED or event.code or event.flags & DUPLICATE:
            answers[cmd_id] = None
            continue
        if run.resp == "none":
            answers[cmd_id] = b""
            continue
        order = orders[cmd_id - first_cmd_id]
        request_id, quantities = order[0], order[2].quantity_texts
        if type(request_id) is not int:
            request_id = JSON.encode(request_id).decode()
        if event.t_core != at_ns:
            at_ns, at = event.t_core, f'"engine_ts":{event.t_core // NS_PER_US},"seq":'
        text = (
            f'{{"id":{request_id}{head}{event.order_id}","cl_ord_id":"{event.cl_ord_id}",'
            f'"status":"{STATUS_WORDS[event.status._value_]}","qty":"{quantities[event.qty]}",'
            f'"cum_qty":"{quantities[event.cum_qty]}","leaves_qty":"{quantities[event.leaves_qty]}",'
            f"{at}{event.seq}{tail}"
        )
        answers[cmd_id] = text.encode()
    return answers
