"""What the journal costs: `python tests/bench/journal_append.py [directory]`. The best of five runs, in CPU time.

Append is `put` of a 200-byte message, `next_out`, and its share of the commit; recovery is the whole of a reopening.
Under durability "disk" what a commit waits for is shown too: from its return until it is durable.
"""

import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter_ns, process_time_ns

from gateway.journal import Journal, JournalSettings

_MESSAGE = b"8=FIX.4.4\x019=178\x0135=8\x0134=123456\x01" + b"x" * 166
_MESSAGES = 256_000
_PER_COMMIT = 64


def _fill(journal: Journal, sessions: int, per_commit: int) -> float:
    """Nanoseconds of CPU a message."""
    stores = [journal.store(session) for session in range(sessions)]
    began = process_time_ns()
    for turn in range(_MESSAGES // per_commit):
        for at in range(per_commit):
            store = stores[(turn + at) % sessions]
            seq_num = store.next_out
            store.put(seq_num, _MESSAGE)
            store.next_out = seq_num + 1
        journal.commit(turn)
    return (process_time_ns() - began) / _MESSAGES


def _waits(journal: Journal, changed: threading.Event) -> list[int]:
    """Nanoseconds from commit to durable, one commit at a time."""
    store, waits = journal.store(1), []
    for turn in range(1_000):
        seq_num = store.next_out
        store.put(seq_num, _MESSAGE)
        store.next_out = seq_num + 1
        position = journal.commit(turn)
        began = perf_counter_ns()
        while journal.durable < position:
            changed.wait()
            changed.clear()
        waits.append(perf_counter_ns() - began)
    return sorted(waits)


def main() -> None:
    """Print one line per case."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        for case, (durability, sessions, per_commit) in enumerate(
            [("process", 1, 64), ("process", 64, 64), ("process", 1, 1), ("disk", 1, 64), ("disk", 64, 64)]
        ):
            best = float("inf")
            for run in range(5):
                settings = JournalSettings(durability=durability)  # type: ignore[arg-type]
                journal = Journal(Path(name) / f"{case}-{run}", settings)
                best = min(best, _fill(journal, sessions, per_commit))
                journal.close()
            print(f"append {durability:7} {sessions:3} sessions, {per_commit:3} a commit {best:8.0f} ns a message")
        journal = Journal(Path(name) / "1-0", JournalSettings(durability="process"))
        journal.close()
        began = process_time_ns()
        journal = Journal(Path(name) / "1-0", JournalSettings(durability="process"))
        took, records = process_time_ns() - began, journal.recovery.records
        print(f"recovery {records} records: {took / records:.0f} ns each, {records / took * 1e6:.0f} k/s")
        journal.close()
        changed = threading.Event()
        journal = Journal(Path(name) / "wait", JournalSettings(), lambda _: changed.set())
        waits = _waits(journal, changed)
        print(f"commit to durable, one at a time: p50 {waits[500] / 1e3:.0f} us, p99 {waits[990] / 1e3:.0f} us")
        journal.close()


if __name__ == "__main__":
    main()
