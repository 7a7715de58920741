"""What a session that comes has missed: events of the stream, and those that have been delivered here since.

Modules: cluster.house.
"""

from types import SimpleNamespace

import pytest

from gateway.cluster.house import House
from gateway.cluster.ownership import Adopted
from gateway.cluster.row import SessionRow
from gateway.sessions.session import AccountStream
from protocols.messages import CancelRejected, OrdStatus

ACCOUNT = 3


def event(seq):
    return CancelRejected(ACCOUNT, seq, 0, 0, "c", "o", 0, OrdStatus.REJECTED, "1", 0, "", 7)


@pytest.mark.parametrize(
    ("at", "read", "delivered", "missed"),
    [
        (20, [21, 22], [], [21, 22]),
        # An entry of the stream has several events, of which the last owner had reported the first.
        (21, [20, 21, 22], [], [22]),
        # The core is ahead of what it has delivered here: the rest comes by itself.
        (20, [21, 22, 23, 24], [], [21, 22]),
        # More was delivered while the stream was being read.
        (20, [21], [22], [21, 22]),
        (20, [], [21, 22], [21, 22]),
        (22, [], [], []),
    ],
)
def test_what_it_missed_is_told_once_and_in_order(at, read, delivered, missed):
    stream = AccountStream(ACCOUNT, 100)
    stream.record_all([event(seq) for seq in delivered])
    services = SimpleNamespace(sessions=SimpleNamespace(account=lambda _: stream))
    house = House(services, None, None, None, SimpleNamespace(latest_seq=lambda _: 22, epoch="e-1"))
    adopted = Adopted(7, SessionRow(1, "b", at=at, epoch="e-1"), ACCOUNT, (), [event(seq) for seq in read])
    assert [each.seq for each in house._missed(adopted)] == missed
