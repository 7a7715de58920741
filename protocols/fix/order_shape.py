"""One order of tags of a NewOrderSingle(D), compiled: where the values stand that differ from order to order.

Fields that differ (number, times, id, quantity, price) are groups of their own. Neighbours that are the same in most
orders of a session (CompIDs, account, symbol, side) are one group, a *block*, whose whole text is looked up at once:

    35=D | 49=A  56=V | 34=7 | 52=... | 11=x | 38=1 | 40=2 | 44=60 | 55=BTC-USDT  54=1 | 60=... | 10=
           block        seq    sent     id     qty   block  price    block               done
"""

import re
from functools import lru_cache
from operator import itemgetter

from protocols.fix.message import DATA_OF_LENGTH
from protocols.fix.tags import (
    BEGIN_STRING,
    CL_ORD_ID,
    DELIVER_TO_COMP_ID,
    MSG_SEQ_NUM,
    MSG_TYPE,
    ON_BEHALF_OF_COMP_ID,
    ORDER_QTY,
    ORIG_SENDING_TIME,
    POSS_DUP_FLAG,
    POSS_RESEND,
    PRICE,
    SENDER_COMP_ID,
    SENDING_TIME,
    SYMBOL,
    TRANSACT_TIME,
)

_VARYING = (MSG_SEQ_NUM, SENDING_TIME, CL_ORD_ID, ORDER_QTY, PRICE, TRANSACT_TIME)
_NEEDED = frozenset((*_VARYING[:-1], SENDER_COMP_ID, SYMBOL))  # TransactTime(60) may be missing
_NEVER_PLAIN = frozenset(DATA_OF_LENGTH) | frozenset(DATA_OF_LENGTH.values()) | {
    POSS_DUP_FLAG, POSS_RESEND, ORIG_SENDING_TIME, ON_BEHALF_OF_COMP_ID, DELIVER_TO_COMP_ID,
}  # fmt: skip
_MAX_TAGS = 64
_VALUE = "[^\x01]*"
_GROUPS = {CL_ORD_ID: "[A-Za-z0-9._:/-]{1,36}"}

Fields = dict[int, str]


class OrderShape:
    """One compiled order of tags.

    pattern: matches a whole message, which begins where the match begins. values: of its groups BodyLength(9), the
    varying fields in the order of `_VARYING`, and CheckSum(10). blocks: of its groups those with the blocks. is_timed:
    it has a TransactTime(60); if not, SendingTime(52) stands in its place.
    """

    __slots__ = ("_blocks", "blocks", "is_timed", "pattern", "values")

    def __init__(self, begin_string: str, tags: tuple[int, ...]) -> None:
        parts = [f"8={re.escape(begin_string)}\x019=([0-9]{{1,4}})\x0135=D\x01"]
        group_of: dict[int, int] = {}
        self._blocks: list[tuple[int, ...]] = []
        block_groups, groups = [], 1
        for tag in tags:
            if tag in _VARYING:
                groups += 1
                group_of[tag] = groups
                parts.append(f"{tag}=({_GROUPS.get(tag, _VALUE)})\x01")
            elif parts[-1][-1] == ")":  # the block goes on
                self._blocks[-1] += (tag,)
                parts[-1] = f"{parts[-1][:-1]}\x01{tag}={_VALUE})"
            else:
                groups += 1
                block_groups.append(groups)
                self._blocks.append((tag,))
                parts.append(f"({tag}={_VALUE})")
        text = "".join(f"{part}\x01" if part[-1] == ")" else part for part in parts)
        self.pattern = re.compile(f"{text}10=([0-9]{{3}})\x01")
        self.is_timed = TRANSACT_TIME in group_of
        group_of.setdefault(TRANSACT_TIME, group_of[SENDING_TIME])
        self.values = itemgetter(0, *(group_of[tag] - 1 for tag in _VARYING), groups)
        self.blocks = itemgetter(*(group - 1 for group in block_groups))

    def blocks_of(self, fields: Fields) -> tuple[str, ...]:
        """The texts of the blocks in a message of this shape, as its match has them."""
        return tuple("\x01".join(f"{tag}={fields[tag]}" for tag in block) for block in self._blocks)


@lru_cache(maxsize=1_024)
def order_shape(begin_string: str, tags: tuple[int, ...]) -> OrderShape:
    """The shape of these tags, between MsgType(35) and CheckSum(10) in wire order; sessions share it.

    Compiling takes about 1 ms. The caller bounds how often a client can cause it.
    """
    return OrderShape(begin_string, tags)


def plain_tags(fields: Fields) -> tuple[int, ...] | None:
    """The tags of an accepted order, in wire order; None if orders of that kind are never read by shape."""
    tags = tuple(tag for tag in fields if tag not in (BEGIN_STRING, MSG_TYPE))
    has_all = _NEEDED.issubset(tags)
    return tags if has_all and len(tags) <= _MAX_TAGS and _NEVER_PLAIN.isdisjoint(tags) else None
