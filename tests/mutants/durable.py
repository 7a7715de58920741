"""Mistakes in what must survive: the journal's writing and reading, retention, and what a start makes of it."""

from tests.mutants.plant import mutants

_JOURNAL = (
    "tests/gateway/journal/test_disk.py",
    "tests/gateway/test_journal_commit.py",
    "tests/gateway/journal/test_scan.py",
    "tests/gateway/journal/test_journal.py",
    "tests/gateway/orders/test_waiting_orders.py",
    "tests/gateway/journal/test_power.py",
)
_SEGMENTS = (
    "tests/gateway/journal/test_disk.py",
    "tests/gateway/journal/test_journal.py",
    "tests/gateway/journal/test_scan.py",
)
_STORE = (
    "tests/gateway/orders/test_waiting_orders.py",
    "tests/gateway/journal/test_journal.py",
    "tests/gateway/test_journal_commit.py",
)
_HOUSE = (
    "tests/gateway/recovery/test_replay.py",
    "tests/gateway/recovery/test_restore.py",
    "tests/gateway/recovery/test_next_life.py",
    "tests/gateway/recovery/test_snapshots.py",
    "tests/gateway/test_disk_modes.py",
)

WRITING = mutants(
    "gateway/journal/writer.py",
    _JOURNAL,
    (
        "any error of making a segment counts as a full disk",
        '            if error.errno not in NO_SPACE:\n                self._fail("a segment could not be created", error)\n',
        "            pass\n",
    ),
    (
        "a failed write is tried again",
        '            self._fail("a write failed", error)\n',
        "            return\n",
    ),
    (
        "what had no room is forgotten",
        "        self._buffer = [data[done:]] if self._is_stuck else []\n",
        "        self._buffer = []\n",
    ),
    (
        "half of a commit becomes durable",
        "        if self._is_stuck or self._written_whole == self._committed:\n",
        "        if self._written_whole == self._committed:\n",
    ),
    (
        "a commit after a failure goes through",
        "            self._raise_failure()\n        if self.segment",
        "            pass\n        if self.segment",
    ),
    (
        "room that came back is not noticed",
        "            self._look_for_room(now_ns)\n",
        "            pass\n",
    ),
    (
        "the disk is asked for room at each commit",
        "        if now_ns >= self._retry_ns:\n",
        "        if True:\n",
    ),
    (
        "a segment has its name before it is safe",
        "        os.fdatasync(new.fd)\n    os.rename",
        "        pass\n    os.rename",
    ),
    (
        "a segment has its name before those below it are safe",
        "        if old is not None:\n            os.fdatasync(old.fd)\n",
        "",
    ),
    (
        "a segment begins without the numbers so far",
        "        checkpoint = list(self._hooks.checkpoint())\n",
        "        checkpoint: list[tuple[int, int, bytes]] = []\n",
    ),
    (
        "a journal that was closed keeps the room that it did not use",
        "            os.ftruncate(self.segment.fd, self._written)\n            os.fsync",
        "            os.fsync",
    ),
)

READING = (
    *mutants(
        "gateway/journal/scan.py",
        _JOURNAL,
        (
            "damage in the last segment is cut like a torn end",
            "        if had_been_synced or not header.synced:\n",
            "        if False:\n",
        ),
        (
            "a hole that was synced is taken for a lost page",
            "        if had_been_synced or not header.synced:\n",
            "        if not header.synced:\n",
        ),
        (
            "what was cut is still there at the next start",
            "        os.ftruncate(last.fd, last.size_bytes)\n",
            "",
        ),
        (
            "a segment under another's name is read",
            "    if header.number != int(path.stem):\n",
            "    if False:\n",
        ),
        (
            "a reset keeps the messages of before",
            "                self.numbers[session] = SeqNums()\n                indexes[session].clear()\n",
            "                self.numbers[session] = SeqNums()\n",
        ),
    ),
    *mutants(
        "gateway/journal/segment.py",
        _SEGMENTS,
        (
            "a record that was changed on disk is read as it is",
            "            if crc32(window[at + 4 : end], self.salt + offset) != crc:\n",
            "            if False:\n",
        ),
        (
            "two processes may have one journal",
            "            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
            "            pass\n",
        ),
        (
            "a hole in the run of segments is not noticed",
            "(before is not None and int(path.stem) != int(before.stem) + 1)",
            "False",
        ),
        (
            "a quota that is used up is a failure",
            "errno.ENOSPC, errno.EDQUOT, errno.EFBIG",
            "errno.ENOSPC, errno.EFBIG",
        ),
    ),
    *mutants(
        "protocols/runs.py",
        ("tests/gateway/recovery/test_records.py",),
        (
            "all orders of a run are recorded with the terms of the first",
            "        if terms is not last:\n",
            "        if last is None:\n",
        ),
    ),
    *mutants(
        "gateway/recovery/records.py",
        ("tests/gateway/recovery/test_records.py",),
        (
            "queries are recorded",
            "[command for command in part if type(command) is not QueryOrders]",
            "list(part)",
        ),
    ),
    *mutants(
        "gateway/journal/store.py",
        ("tests/gateway/recovery/test_crash_in_a_run.py",),
        ("the reports of a run are recorded one by one", "        if count < 2:\n", "        if True:\n"),
        (
            "numbers are not recorded in the commit of their run",
            "        if not self._is_dirty:\n            self._is_dirty = True\n            self._dirty.append(self)\n",
            "        if not self._is_dirty:\n            self._is_dirty = True\n",
        ),
    ),
    *mutants(
        "gateway/journal/store.py",
        _STORE,
        (
            "a number may have two contents",
            "        if seq_num < index.end:\n",
            "        if False:\n",
        ),
        (
            "NextIn moves over a message that waits",
            "        next_in, done = self.intake.without_memory()\n",
            "        next_in, done = self.intake.next_in, self.intake.done\n",
        ),
        (
            "what went past a message that waits is taken twice",
            "SeqNums(next_in, next_out, done).pack()",
            "SeqNums(next_in, next_out, self.intake.done).pack()",
        ),
        (
            "a checkpoint has numbers of a tick that is not committed",
            "        return STATE, self.session, self._recorded().pack()\n",
            "        return STATE, self.session, SeqNums(self.intake.next_in, self._next_out).pack()\n",
        ),
        (
            "what waited is waited for after a reset",
            "        self.intake.reset()\n",
            "        self.intake.next_in = 1\n",
        ),
    ),
    *mutants(
        "gateway/journal/__init__.py",
        _JOURNAL,
        (
            "a segment goes before the next one is durable",
            "            if durable <= following.first_position:\n                return\n",
            "",
        ),
        (
            "a segment goes that the owner needs",
            "            if self._kept_from is not None and self._kept_from < following.first_position:\n                return\n",
            "",
        ),
        (
            "a record that is not durable yet lets older ones go",
            "        if self.keep_from is not None and self.keep_from < durable:\n",
            "        if self.keep_from is not None:\n",
        ),
        (
            "a directory grows beyond its bound",
            "            if is_needed and size_bytes <= settings.max_bytes:\n",
            "            if is_needed:\n",
        ),
        ("segments that nobody needs are kept", "            if is_needed and size_bytes", "            if size_bytes"),
    ),
)

STARTING = (
    *mutants(
        "gateway/recovery/replay.py",
        _HOUSE,
        (
            "commands from before the latest snapshot are carried out twice",
            "            del self.batches[-len(following.batches) :]\n",
            "            pass\n",
        ),
        (
            "commands without a snapshot are skipped in silence",
            "        if self._is_stateless and not self._spans:\n",
            "        if False:\n",
        ),
        (
            "an old life is carried out under the configuration of now",
            "            self.engine.restore(*span.engine)\n",
            "            now = self.engine.configuration\n            self.engine.restore(*span.engine)\n            self.engine.configure(*now)\n",
        ),
        (
            "a crash counts as a clean end",
            "        self.was_clean = kind == records.CLEAN\n",
            "        self.was_clean = True\n",
        ),
        ("events are kept without end", "partial(deque, maxlen=max_events)", "deque"),
        (
            "a session that guards orders is forgotten",
            "        if link is not None and link.is_guarding:\n            return False\n",
            "",
        ),
    ),
    *mutants(
        "gateway/recovery/restore.py",
        _HOUSE,
        (
            "a session's counters begin anew",
            "            self._recorder.set_counters(session)\n",
            "            pass\n",
        ),
        (
            "the venue opens at once after a crash",
            "            services.orders.venue.reopen_at_ns = now_ns + settings.core.reopen_after_ms * NS_PER_MS\n",
            "            pass\n",
        ),
    ),
    *mutants(
        "gateway/server.py",
        _HOUSE,
        (
            "a stop before the venue has reopened counts as a clean end",
            "is_clean=not self.orders.venue.reopen_at_ns",
            "is_clean=True",
        ),
    ),
)

_END = ("tests/gateway/journal/test_end.py",)
ENDS = (
    *mutants(
        "gateway/journal/scan.py",
        _END,
        ("a lost end is cut without a word", "        if missing <= 0:\n", "        if True:\n"),
        (
            "a journal without the file of its end is taken for whole",
            "        self.report.is_proven = known is not None or not self.segments\n",
            "        self.report.is_proven = True\n",
        ),
    ),
    *mutants(
        "gateway/journal/writer.py",
        _END,
        (
            "what a start found is proven before its owner has settled it",
            "        self._unsettled = self._committed\n",
            "        self._unsettled = 0\n",
        ),
        (
            "the end is said before it is safe",
            "        self._write_end(durable)\n",
            "        self._write_end(self._committed)\n",
        ),
    ),
    *mutants(
        "gateway/recovery/restore.py",
        _END,
        (
            "MsgSeqNum(34) is given twice after a loss",
            "            self._journal.store(row.id).next_out += _LOST_NUMBERS\n",
            "",
        ),
        (
            "an order of before a loss is carried out a second time",
            "            services.sessions.by_id[row.id].acts_from_ns = now_ns\n",
            "",
        ),
        (
            "events of a stream that has ended are replayed in the new one",
            "        self._replay.events.clear()  # of streams",
            "        pass  # of streams",
        ),
    ),
    *mutants(
        "gateway/core/engine.py",
        _END,
        ("ExecID(17) is given twice after a loss", "        self._counters.exec_id += _LOST_IDS\n", ""),
        ("OrderID(37) is given twice after a loss", "        self._counters.order_id += _LOST_IDS\n", ""),
        (
            "a retry from before a loss is taken for a first attempt",
            "            account.forgotten_until = max(account.forgotten_until, now_ns)\n",
            "",
        ),
    ),
)

_SHARED = (
    "tests/gateway/test_failures.py",
    "tests/gateway/core/test_embedded.py",
    "tests/gateway/recovery/test_replay.py",
)
SHARED = (
    *mutants(
        "gateway/core/embedded.py",
        _SHARED,
        ("a core that failed is handed more", "self._is_reporting or self._has_failed", "self._is_reporting"),
        ("a core that failed is a session's trouble", "            self._fail(error)\n", ""),
    ),
    *mutants(
        "gateway/core/snapshots.py",
        (*_SHARED, "tests/gateway/core/test_snapshots.py"),
        ("a snapshot that lost an account counts", "    if counted != wanted:\n", "    if False:\n"),
        (
            "a snapshot keeps an account as it has become",
            "        found = self._untouched.get(account)\n",
            "        found = None\n",
        ),
    ),
    *mutants(
        "gateway/failures.py",
        _SHARED,
        ("what was half done is recorded", "        self._give_up(error)\n", ""),
        (
            "memory that ends is a session's mistake",
            "        if isinstance(error, MemoryError):\n            self.gateway_failed(error)\n        elif not self._has_ended",
            "        if not self._has_ended",
        ),
        (
            "links live on that hear of nothing any more",
            "                connection.abort()\n",
            "                pass\n",
        ),
    ),
    *mutants(
        "gateway/recovery/replay.py",
        _SHARED,
        (
            "half of a snapshot counts as a whole one",
            "        if coming is not None and snapshot.chunks not in (0, len(coming.engine)):\n",
            "        if False:\n",
        ),
        (
            "no older snapshot stands in for one that is unsound",
            "            if reserve is not None and self._is_restored(reserve):\n",
            "            if False:\n",
        ),
    ),
    *mutants(
        "protocols/fix/session/store.py",
        ("tests/protocols/fix/session/test_store.py", "tests/protocols/fix/session/test_patience.py"),
        (
            "what was done ahead of its turn is done again in it",
            "            if first <= seq_num < end:\n",
            "            if False:\n",
        ),
        ("what was done ahead of its turn is remembered without end", " or len(done) >= _DONE_MAX", ""),
        (
            "a message that waits is told as processed",
            "min(min(self._waiting.values(), default=next_in), next_in, self.unserved or next_in) - 1",
            "min(next_in, self.unserved or next_in) - 1",
        ),
    ),
    *mutants(
        "protocols/fix/session/store.py",
        ("tests/gateway/orders/test_waiting_orders.py",),
        (
            "a message that came in the same read and will wait is told as processed",
            "min(min(self._waiting.values(), default=next_in), next_in, self.unserved or next_in) - 1",
            "min(min(self._waiting.values(), default=next_in), next_in) - 1",
        ),
    ),
    *mutants(
        "protocols/fix/session/output.py",
        ("tests/protocols/fix/session/test_logon.py",),
        (
            "a message that nobody was handed yet is told as processed",
            "min(processed, self.handed_out - 1) if self.handed_out else processed",
            "processed",
        ),
    ),
)

MUTANTS = (*WRITING, *READING, *STARTING, *ENDS, *SHARED)
