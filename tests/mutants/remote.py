"""Mistakes in the link to a core in another process: what is handed over, answered, reported and recorded."""

from tests.mutants.plant import mutants

_LINK = ("tests/gateway/remote/test_core.py",)
_PROCESSES = ("tests/e2e/test_remote_core.py",)
_REPLICAS = ("tests/gateway/remote/test_replicas.py",)
_PIPE = ("tests/gateway/remote/test_pipe.py",)
_LOSS = ("tests/e2e/test_core_loss.py",)
_FAILOVER = ("tests/e2e/test_core_replicas.py",)

MUTANTS = (
    *mutants(
        "gateway/remote/core.py",
        _LINK,
        ("credit comes back when Redis has it", "is not None and entry <= self.delivered:", "is not None:"),
        ("the refusal of a used id closes the order that has it", "event.exec_type is ExecType.REJECTED", "False"),
        (
            "what caused the first events is forgotten in a crash",
            "            self._record.record_delivered(entry, 0, self._latest, self.epoch)\n",
            "            pass\n",
        ),
        ("an event is reported again after a crash", "event.seq <= self._latest.get(event.account, 0)", "False"),
        ("a trimmed entry is not missed", "if before > self.delivered:", "if False:"),
        (
            "a run is told as accepted though it is not all",
            "are_new and len(part) == counts[part.cmd_id]",
            "True",
        ),
        (
            "counters begin below what is handed over again",
            "            for command in commands:\n                self._note(command.cmd_id)\n",
            "",
        ),
        ("what has no id is not sent again", "each.is_sent = False\n\n    def send_all", "pass\n\n    def send_all"),
    ),
    *mutants(
        "gateway/remote/host.py",
        _LINK,
        ("a gateway is not acknowledged when nothing was caused", "if node == name:", "if node == name and events:"),
        ("an entry does not name the one before", "before, known.latest = known.latest, entry", "before = entry"),
        ("gateways are not told of a new epoch", "for node in self.nodes]", "for node in ()]"),
        ("events of a new epoch are written over the others", "events(account, self.epochs)", "events(account)"),
        ("a snapshot forgets who hosts what", "set(accounts), latest", "set(), latest"),
    ),
    *mutants(
        "gateway/remote/together.py",
        _LINK,
        ("orders with a gap in their numbers are one run", "command.cmd_id != last + 1 or ", ""),
        ("orders of several sessions are one run", "not _is_of_one(first, command)", "False"),
    ),
    *mutants(
        "gateway/remote/replicas.py",
        _REPLICAS,
        ("a refused write counts as one that replicas have", " or not self._is_marked:", ":"),
        ("too few replicas are enough", "own >= 1 and found >= replicas", "True"),
        ("the primary's own disk does not matter", "own >= 1 and ", ""),
        (
            "what came after the question is told with its answer",
            "self._held[: self._asked], self._held[self._asked :]",
            "self._held, []",
        ),
        (
            "what waited on a lost connection is told by the next",
            "self._held, self._is_asking, self.why = []",
            "_, self._is_asking, self.why = []",
        ),
    ),
    *mutants(
        "gateway/remote/link.py",
        _FAILOVER,
        ("what was read is told before replicas have it", "if rows and self._replicas.is_needed:", "if False:"),
        (
            "connections that were lost at once are not noticed",
            "not all(pipe.is_open for pipe in self._pipes)",
            "False",
        ),
        ("during a failover the gateway ends", "if is_replica(info) and self._history:", "if False:"),
    ),
    *mutants(
        "gateway/remote/core_process.py",
        _FAILOVER,
        ("a snapshot is kept that replicas lack", "            await self._await_replicas()\n", "            pass\n"),
        (
            "a core that has executed what replicas lack does not go on",
            "if not (is_other and self._terms.acked_by_replicas):",
            "if True:",
        ),
    ),
    *mutants(
        "gateway/remote/core_process.py",
        _PROCESSES,
        (
            "what a core that begins has written is written twice",
            "        else:\n            for rows in list(self._unwritten):",
            "        if True:\n            for rows in list(self._unwritten):",
        ),
        ("a core goes on though Redis lacks what it wrote", "!= [expected]:", "is None:"),
        ("a core begins anew whenever Redis does", "if self._executed is None or self._confirmed is None:", "if True:"),
    ),
    *mutants(
        "gateway/remote/core_process.py",
        ("tests/e2e/test_remote_core.py",),
        (
            "a snapshot is kept before what came before it is written",
            "while coming.advance() or self._written_count < caused:",
            "while coming.advance():",
        ),
        (
            "a core goes on from where it was though what came after is gone",
            'if found == "there":',
            'if found in ("there", "trimmed"):',
        ),
    ),
    *mutants(
        "gateway/remote/command_stream.py",
        ("tests/gateway/remote/test_command_stream.py",),
        ("a core passes over what another has let go of", 'if entry_id(fields[b"before"]) > position:', "if False:"),
        (
            "a trim of before the start is taken for one of now",
            "await latest_entry(pipe, self._keys.trims)",
            "BEFORE_ALL",
        ),
    ),
    *mutants(
        "gateway/remote/keep.lua",
        ("tests/gateway/remote/test_command_stream.py",),
        ("an older snapshot takes the place of a later one", "if known then", "if false then"),
        ("a snapshot ends after an hour", "redis.call('PERSIST', KEYS[2])\n", ""),
    ),
    *mutants(
        "gateway/cluster/ownership.py",
        ("tests/gateway/cluster/test_ownership.py",),
        (
            "a session that was claimed elsewhere on its way is adopted",
            "if token != claim.row.token:",
            "if token is None:",
        ),
    ),
    *mutants(
        "gateway/remote/core_process.py",
        _LOSS,
        (
            "a snapshot of a history that was given up is used",
            "            return False\n        raise CoreFailed",
            "            return True\n        raise CoreFailed",
        ),
        (
            "a loss is passed over in silence",
            'if found == "trimmed" or is_earlier or self._terms.accepts_loss:',
            "if True:",
        ),
    ),
    *mutants(
        "gateway/remote/link.py",
        _LOSS,
        ("a gateway never begins the new epoch", "            core.begin_epoch()", "            pass"),
    ),
    *mutants(
        "gateway/recovery/link_state.py",
        _LINK,
        ("numbers of the epoch before hide those of this one", "            self.reported.clear()", "            pass"),
        ("the last answered hand-over is kept", "if number <= record.answered]", "if number < record.answered]"),
    ),
    *mutants(
        "gateway/remote/put.lua",
        _PROCESSES,
        ("cores that differ are not noticed", "      return stream\n", "      return 0\n"),
    ),
    *mutants(
        "gateway/remote/pipe.py",
        _PIPE,
        (
            "who waits when the connection is lost waits for ever",
            "            for then in waiting:\n",
            "            for then in ():\n",
        ),
        ("a connection that is silent is waited for for ever", "> _SILENCE_S:", "> 1_000_000:"),
        (
            "a busy connection is lost though replies come",
            "        self._since_s = self._loop.time()\n        try:",
            "        try:",
        ),
        (
            "a connection that was asked nothing is lost",
            "if self._waiting and self._loop.time()",
            "if self._loop.time()",
        ),
    ),
    *mutants(
        "gateway/remote/link.py",
        _PROCESSES,
        (
            "a core with another instrument is not noticed",
            "theirs.get(str(mine.id)) != [",
            "theirs.get(str(mine.id)) == [",
        ),
        ("a Redis that has lost its end is not noticed", '"lost":', '"":'),
        (
            "what was trimmed is not read elsewhere",
            "> core.delivered:\n            rows.insert",
            "> core.delivered and False:\n            rows.insert",
        ),
    ),
)
