"""Puts commands together again that a gateway handed over as runs, so that they are executed as such. Pure."""

from collections.abc import Sequence

from protocols.messages import AnyCommand, NewOrder
from protocols.runs import HandOver, NewOrders, OrderRow, OrderTerms

_MAX_TERMS = 4_096  # then all are known anew

_Kind = tuple[object, ...]


class Together:
    """One per core: what orders of one kind have in common is one value, so that the engine knows it again."""

    def __init__(self) -> None:
        self._terms: dict[_Kind, OrderTerms] = {}

    def of(self, commands: Sequence[AnyCommand]) -> Sequence[AnyCommand]:
        """The same commands: plain new orders of one session that are numbered one after the other are a run."""
        parts: list[NewOrders | list[AnyCommand]] = []
        rows: list[OrderRow] = []
        first: NewOrder | None = None
        last = 0
        for command in commands:
            row = self._row(command) if type(command) is NewOrder else None
            if row is None:
                first = None
                if parts and isinstance(parts[-1], list):
                    parts[-1].append(command)
                else:
                    parts.append([command])
                continue
            assert isinstance(command, NewOrder)
            if first is None or command.cmd_id != last + 1 or not _is_of_one(first, command):
                first, rows = command, []
                parts.append(NewOrders.numbered(first, rows))
            rows.append(row)
            last = command.cmd_id
        return parts[0] if len(parts) == 1 else HandOver(parts)

    def _row(self, order: NewOrder) -> OrderRow | None:
        """What a run has of it; None: it has more."""
        if order.stop_px or order.quote_qty or order.display_qty or order.min_qty or order.expire_at:
            return None
        kind = (
            order.instrument, order.side, order.ord_type, order.tif, order.flags, order.stp, order.stp_group, order.tag,
        )  # fmt: skip
        terms = self._terms.get(kind)
        if terms is None:
            if len(self._terms) >= _MAX_TERMS:
                self._terms.clear()
            terms = self._terms[kind] = OrderTerms(*kind)
        return order.cl_ord_id, terms, order.qty, order.price, order.deadline, order.sent_at


def _is_of_one(first: NewOrder, order: NewOrder) -> bool:
    return (first.account, first.session, first.origin, first.t_recv) == (
        order.account, order.session, order.origin, order.t_recv,
    )  # fmt: skip
