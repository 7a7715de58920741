"""Rules of an order's ids, labels and default terms that both wires share. Each wire refuses in its own form."""

import re

from protocols.instruments import Instrument
from protocols.messages import OrdType, Tif

MAX_LABEL = 36
_MAX_ORDER_ID = (1 << 64) - 1

is_cl_ord_id = re.compile(r"[A-Za-z0-9._:/-]{1,36}").fullmatch
"""Whether a client order id is well formed."""


def order_id_of(text: str) -> int:
    """An order id that may have been issued; 0 = it cannot have been."""
    order_id = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0
    return order_id if order_id <= _MAX_ORDER_ID else 0


def is_label(text: str) -> bool:
    """Whether a free text may be stored and echoed on both wires: short printable ASCII, so it cannot contain SOH."""
    return len(text) <= MAX_LABEL and text.isascii() and text.isprintable()


def default_tif(ord_type: OrdType, instrument: Instrument) -> Tif:
    """The time in force of an order without one: IOC for a market order, else DAY if the market closes, else GTC."""
    if ord_type is OrdType.MARKET:
        return Tif.IOC
    return Tif.DAY if instrument.session_bound else Tif.GTC
