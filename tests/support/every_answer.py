"""One of everything that a FIX session may be sent, per version and dialect, for judges of the translation."""

from typing import Any

from protocols.errors import CODES, Refusal
from protocols.fix.events import AppMessage
from protocols.fix.translate import Answer, LimitLine
from protocols.messages import (
    ACCOUNT_GIVEN,
    CancelRejected,
    EngineState,
    ExecType,
    MassCancelDone,
    OrderList,
    OrdStatus,
    OrdType,
    Tif,
)
from tests.support.translation import (
    BTC,
    DIALECTS,
    ORDER_ID,
    T_CORE,
    T_RECV,
    VERSIONS,
    fill_event,
    limit_order,
    order_event,
    request,
    translator,
)

EVERY_DIALECT = [(version, dialect) for version in VERSIONS for dialect in DIALECTS]
SERVED = {
    version: [t for t in ("D", "F", "G", "H", "AF", "q") if t in translator(version).served] for version in VERSIONS
}
CANCELED = {"exec_type": ExecType.CANCELED, "status": OrdStatus.CANCELED, "leaves_qty": 0}
REQUESTS = {
    "D": limit_order("1=desk|60=20261122-12:00:00|"),
    "F": request("35=F|1=desk|11=c-1|41=a|55=BTC-USDT|54=1|60=20261122-12:00:00"),
    "G": request("35=G|11=b-1|41=a|55=BTC-USDT|54=1|38=1|44=1|40=2|60=20261122-12:00:00"),
    "H": request("35=H|11=a|55=BTC-USDT|54=1"),
    "AF": request("35=AF|584=ms-1|585=7"),
    "q": request("35=q|11=mc-1|530=7|60=20261122-12:00:00"),
}


def every_answer(version: str, dialect: str) -> list[Answer]:
    """One of everything that we may send to such a session."""
    us = translator(version, dialect, account="desk")
    status = order_event(exec_type=ExecType.ORDER_STATUS, exec_id=0, seq=0)
    events: list[tuple[Any, AppMessage | None]] = [
        (order_event(), REQUESTS["D"]),
        (order_event(ord_type=OrdType.STOP_LIMIT, stop_px=5, flags=1, tag="grid-1"), None),
        (fill_event(fee=7, fee_asset="USDT", tag="t"), None),
        (fill_event(status=OrdStatus.FILLED, maker=False), REQUESTS["D"]),
        (order_event(exec_type=ExecType.REPLACED, orig_cl_ord_id="a"), REQUESTS["G"]),
        (order_event(exec_type=ExecType.EXPIRED, status=OrdStatus.EXPIRED, tif=Tif.GTD), None),
        (order_event(exec_type=ExecType.RESTATED), None),
        (order_event(exec_type=ExecType.PENDING_NEW, status=OrdStatus.PENDING_NEW), REQUESTS["D"]),
        (status, REQUESTS["H"]),
        (OrderList(1, 2, 3, T_CORE, "", (status,)), REQUESTS["H"]),
        (OrderList(1, 2, 3, T_CORE, "", ()), REQUESTS["H"]),
        (EngineState(0, 0, 0, T_CORE, "halted", BTC.id, "x"), None),
    ]
    events += [
        (order_event(**CANCELED, code=code, cmd_id=cmd_id, flags=ACCOUNT_GIVEN), None)
        for code in (0, *CODES)
        for cmd_id in (0, 77)
    ]
    events += [(order_event(exec_type=kind, status=status), None) for kind in ExecType for status in OrdStatus]
    events += [(order_event(ord_type=kind, tif=tif, stop_px=5), None) for kind in OrdType for tif in Tif]
    for code in CODES:
        events.append((order_event(exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, code=code), REQUESTS["D"]))
        for order_id, standing in ((ORDER_ID, OrdStatus.NEW), (0, OrdStatus.REJECTED)):
            reject = CancelRejected(1, 2, 3, T_CORE, "c-1", "a", order_id, standing, "1", code)
            events.append((reject, REQUESTS["F"]))
    if "q" in SERVED[version]:
        listing = OrderList(1, 2, 3, T_CORE, "ms-1", (status, status))
        one_side = request("35=q|11=mc-2|530=1|55=BTC-USDT|54=1")
        named = request("35=H|11=a|55=BTC-USDT|54=1|790=s-1")
        events += [
            (MassCancelDone(1, 2, 3, T_CORE, "mc-2", 17, 0), one_side),
            (OrderList(1, 2, 3, T_CORE, "s-1", ()), named),
        ]
        events += [(listing, REQUESTS["AF"]), (OrderList(1, 2, 3, T_CORE, "ms-1", ()), REQUESTS["AF"])]
        events += [(MassCancelDone(1, 2, 3, T_CORE, "mc-1", 17, code), REQUESTS["q"]) for code in (0, *CODES)]
    answers = [answer for event, answered in events for answer in us.event(event, answered, T_RECV)]
    businesslike = translator(version, dialect, throttle_reject="business")
    for msg_type in SERVED[version]:
        for code in CODES:
            refusal = Refusal(code, "because", 7)
            for known in (status, OrdStatus.REJECTED, OrdStatus.PENDING_NEW):
                answers.append(us.refusal(REQUESTS[msg_type], refusal, T_CORE, "R-1", known))
            answers.append(businesslike.refusal(REQUESTS[msg_type], refusal, T_CORE, "R-1"))
    lines = [LimitLine("orders", "account", 200, 187, 100_000), LimitLine("open_orders", "account", 10, 1)]
    answers += [us.pending_new(REQUESTS["D"], T_CORE, "P-1", T_RECV), us.news("head", "text", flash=True)]
    answers.append(us.user_notification(lines, "changed"))
    if "XLQ" in us.served:
        answers.append(us.limits("lq-1", lines))
    return answers
