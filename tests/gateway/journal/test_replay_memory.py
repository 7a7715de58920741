"""A ResendRequest(2) for a long journal costs the memory of a slice, and what is sent meanwhile waits its turn.

Module: journal.store.
"""

from pathlib import Path

from tests.support.long_replay import SLICE_BYTES, LongSession

COUNT = 100_000


def test_all_of_100_000_messages_are_sent_again_in_slices_and_live_ones_follow_once_in_order(tmp_path: Path) -> None:
    long = LongSession(tmp_path, COUNT)
    replayed = long.replay()
    assert replayed.again == COUNT
    assert replayed.live >= 20
    assert replayed.slices > COUNT * 200 // SLICE_BYTES
    assert replayed.largest_slice_bytes < SLICE_BYTES + 1_024
    assert replayed.peak_bytes < 16 << 20
    long.journal.close()
