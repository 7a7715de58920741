"""The `order` events of runs in JSON, one template for the usual ones: acceptances and trades.

What all orders of a kind share is written once. Any other event goes to the general encoder, whose text is the
reference: with the same event both give the same bytes. `write` is the hottest outbound code: everything is in locals.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from protocols.instruments import Instruments, Rendered, rendered
from protocols.messages import POST_ONLY, ExecType, OrderEvent, OrdType, Side, Tif
from protocols.units import NS_PER_US
from protocols.ws.codec import JSON
from protocols.ws.enums import LIQUIDITY, ORD_TYPE, ORIGIN, SIDE, STATUS_WORDS, TIF

_NEW, _TRADE = ExecType.NEW, ExecType.TRADE
_POST_ONLY = ',"post_only":true'
_MAX_WORDINGS = 4_096


_Words = tuple[int, Side, OrdType, Tif]


class _Wording(NamedTuple):
    """What the events of one kind of order have in common: the text from `symbol` to `tif`, and how numbers are
    written."""

    subject: str
    prices: Rendered
    quantities: Rendered
    quotes: Rendered


class OrderEventText:
    """Writes events for all connections that read JSON."""

    def __init__(
        self, instruments: Instruments, name_of: Callable[[int], str], slow: Callable[[OrderEvent], bytes]
    ) -> None:
        """name_of: the name of the session with this number. slow: the general encoder."""
        self._instruments = instruments
        self._name_of = name_of
        self._slow = slow
        self._wordings: dict[_Words, _Wording] = {}

    def write(self, events: Sequence[OrderEvent]) -> list[bytes]:
        """The bytes of each event. The ids of orders are of characters that need no escape, at both doors."""
        wordings, slow = self._wordings, self._slow
        last: _Words | None = None
        session, origin, owner = -1, -1, ""
        tag, label = "", ""
        at_ns, at = -1, ""
        texts: list[bytes] = []
        add = texts.append
        for event in events:
            exec_type = event.exec_type
            is_usual = exec_type is _NEW or (exec_type is _TRADE and not event.fee_asset)
            if not is_usual or event.stop_px or event.orig_cl_ord_id or event.code or event.text or not event.order_id:
                add(slow(event))
                continue
            words = (event.instrument, event.side, event.ord_type, event.tif)
            if words != last:
                last = words
                subject, prices, quantities, quotes = wordings.get(words) or self._word(words)
            if event.t_core != at_ns:
                at_ns, at = event.t_core, f',"ts":{event.t_core // NS_PER_US},"data":{{"exec":"'
            if event.tag != tag:
                tag = event.tag
                label = f',"tag":{_quoted(tag)}' if tag else ""
            price = f',"price":"{prices[event.price]}"' if event.price else ""
            cum_quote = f',"cum_quote":"{quotes[event.cum_quote]}"' if event.cum_qty else ""
            if exec_type is _NEW:
                if event.session != session or event.origin != origin:
                    session, origin = event.session, event.origin
                    name = self._name_of(session)
                    owner = f',"session":{_quoted(name)}' if name else ""
                    owner += f',"origin":"{ORIGIN[event.origin]}"'
                word = "new"
                rest = f"{_POST_ONLY if event.flags & POST_ONLY else ''}{label}{owner}"
            else:
                word = "trade"
                rest = (
                    f',"last_qty":"{quantities[event.last_qty]}","last_px":"{prices[event.last_px]}"'
                    f',"trade_id":"{event.trade_id}","liquidity":"{LIQUIDITY[event.maker]}"{label}'
                )
            text = (
                f'{{"ev":"order","seq":{event.seq}{at}{word}",'
                f'"exec_id":"{event.exec_id}","cl_ord_id":"{event.cl_ord_id}",{subject},"qty":"{quantities[event.qty]}",'
                f'"cum_qty":"{quantities[event.cum_qty]}","leaves_qty":"{quantities[event.leaves_qty]}",'
                f'"status":"{STATUS_WORDS[event.status._value_]}","order_id":"{event.order_id}"{price}{cum_quote}{rest}}}}}'
            )
            add(text.encode())
        return texts

    def _word(self, words: _Words) -> _Wording:
        if len(self._wordings) >= _MAX_WORDINGS:
            self._wordings.clear()
        number, side, ord_type, tif = words
        instrument = self._instruments.by_id[number]
        wording = self._wordings[words] = _Wording(
            f'"symbol":{_quoted(instrument.symbol)},"side":"{SIDE[side]}","type":"{ORD_TYPE[ord_type]}",'
            f'"tif":"{TIF[tif]}"',
            rendered(instrument.px_exp),
            rendered(instrument.qty_exp),
            rendered(instrument.px_exp + instrument.qty_exp),
        )
        return wording


def _quoted(text: str) -> str:
    return JSON.encode(text).decode()
