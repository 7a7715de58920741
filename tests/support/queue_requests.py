"""Requests as the queue sees them: a command of an account and a session, and little else."""

from types import SimpleNamespace

from gateway.sessions.request import Request
from protocols.messages import (
    CancelOrder,
    NewOrder,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Side,
    Tif,
)


def request(command, size_bytes=100):
    return Request(command, SimpleNamespace(id=command.session), None, size_bytes)


def new(cl_ord_id, account=1, session=1, side=Side.BUY, flags=0, tag=""):
    return request(
        NewOrder(
            1,
            account,
            session,
            Origin.FIX,
            0,
            0,
            cl_ord_id,
            7,
            side,
            OrdType.LIMIT,
            Tif.GTC,
            10,
            5,
            flags=flags,
            tag=tag,
        )
    )


def replace(cl_ord_id, orig="", order_id=0, account=1, **more):
    head = (1, account, 1, Origin.FIX, 0, 0, cl_ord_id, 7, 10, 5)
    return request(ReplaceOrder(*head, order_id=order_id, orig_cl_ord_id=orig, **more))


def cancel(orig="", order_id=0, account=1, session=1):
    return request(CancelOrder(2, account, session, Origin.FIX, 0, 0, "c", 7, order_id=order_id, orig_cl_ord_id=orig))


def query(account=1, session=1):
    return request(QueryOrders(4, account, session, Origin.FIX, 0, 0, "q"))
