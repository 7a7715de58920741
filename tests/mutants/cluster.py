"""Mistakes in how several gateways are one venue."""

from tests.mutants.plant import mutants

_JOURNAL = ("tests/gateway/cluster/test_journal.py",)
_OWNERSHIP = ("tests/gateway/cluster/test_ownership.py",)
_TOGETHER = ("tests/gateway/cluster/test_house.py", "tests/e2e/test_cluster.py")
_CUT_OFF = ("tests/e2e/test_cluster_cut_off.py",)

MUTANTS = (
    *mutants(
        "gateway/cluster/node.py",
        _CUT_OFF,
        ("who was taken for dead has no session for its own commands", "if self._own in sessions:", "if False:"),
    ),
    *mutants(
        "gateway/cluster/commit.lua",
        _JOURNAL,
        ("an old token may write", "  if token and token ~= ARGV[at] then\n", "  if false then\n"),
        ("another process of the name may write", "if row[1] ~= boot then\n", "if false then\n"),
        ("a commit goes before one that was refused", "if number > last + 1 then\n", "if false then\n"),
        ("a commit that is sent again is written again", "if number == last + 1 then\n", "if true then\n"),
        ("old messages live on behind new numbers", "      redis.call('DEL', session.sent)\n", ""),
    ),
    *mutants(
        "gateway/cluster/claim.lua",
        _JOURNAL,
        ("the token stays when a session moves", "(tonumber(found[2]) or 0) + 1", "(tonumber(found[2]) or 1)"),
        ("a living gateway is robbed", "(condition == 'dead' or is_connected)", "is_connected"),
        ("whoever is connected can be disturbed", "(condition == 'dead' or is_connected)", "condition == 'dead'"),
    ),
    *mutants(
        "gateway/cluster/lease.lua",
        _JOURNAL,
        ("a gateway that was cut off is forgotten at once", "elseif until_ms <= forgotten then", "else"),
        ("a living gateway's name is taken", "  if left > 0 then\n", "  if false then\n"),
        (
            "the core writes for a dead gateway for ever",
            "      redis.call('XADD', KEYS[3], '*', 'node', other, 'bye', '1')\n",
            "",
        ),
    ),
    *mutants(
        "gateway/cluster/journal.py",
        _JOURNAL,
        (
            "what waited is handed over for a session that was lost",
            "            for session in each.sessions:  # also of what waited: its session must still be ours\n"
            "                self._part(session)\n",
            "",
        ),
        (
            "a lost session's commands go out with the next commit",
            '            handed.data, handed.sessions = encode_commands(left, "msgpack"), handed.sessions.difference(lost)\n',
            "",
        ),
        (
            "the row does not say how far the session has reported",
            '                part.changes.fields["at"] = b"%d" % at\n',
            "",
        ),
        (
            "a commit is judged by the sessions that it has now",
            "sessions[index - 1], word",
            "list(commit.sessions)[index - 1], word",
        ),
        (
            "what is refused is not sent again",
            "        return bool(lost)",
            "        return False",
        ),
    ),
    *mutants(
        "gateway/cluster/clock_watch.py",
        ("tests/gateway/cluster/test_clock_watch.py",),
        ("a slow answer is taken for a wrong clock", "self._low_ns > self._bound_ns", "self._high_ns > self._bound_ns"),
        (
            "a clock that was set is averaged with what it was",
            "            self._low_ns, self._high_ns = found\n",
            "",
        ),
        ("an alarm is told every second", "now_ns + _SAY_AGAIN_NS", "now_ns"),
    ),
    *mutants(
        "gateway/cluster/control.py",
        ("tests/gateway/cluster/test_control.py",),
        ("what is gone from the control stream is never noticed", "if is_gone and not", "if False and not"),
        ("all that is told first counts as missed", '> told[b"length"] if before', "> 0 if before"),
        (
            "a mode that was ended meanwhile bars for ever",
            "            if place not in modes:\n",
            "            if False:\n",
        ),
        (
            "what was missed is asked for once",
            "        if self._has_missed and not self._unanswered:\n",
            "        if False:\n",
        ),
    ),
    *mutants(
        "gateway/cluster/link.py",
        ("tests/e2e/test_cluster_replicas.py",),
        (
            "a commit counts before replicas have it",
            "        elif self._replicas.is_needed:\n",
            "        elif False:\n",
        ),
    ),
    *mutants(
        "gateway/cluster/outage.py",
        ("tests/gateway/cluster/test_outage.py",),
        ("whoever is cut off waits as long as all", "self._lease_ns if is_cut_off else self._hold_ns", "self._hold_ns"),
        ("clients are read again too early", "waiting_bytes <= self._most_bytes // 2", "True"),
        (
            "a grace begins anew with each look",
            "        if not self._since_ns:\n            self._since_ns = since_ns",
            "        if True:\n            self._since_ns = since_ns",
        ),
    ),
    *mutants(
        "gateway/cluster/clients.py",
        ("tests/e2e/test_cluster_away.py",),
        ("who is cut off has no time to come back", "now_ns + services.settings.venue.drain_ms * NS_PER_MS", "now_ns"),
    ),
    *mutants(
        "gateway/cluster/store.py",
        _JOURNAL,
        (
            "numbers of messages that wait in memory are taken for served",
            "        next_in, done = self.intake.without_memory()\n",
            "        next_in, done = self.intake.next_in, self.intake.done\n",
        ),
    ),
    *mutants(
        "gateway/cluster/ownership.py",
        _OWNERSHIP,
        (
            "who waits for a session that cannot come waits for ever",
            "        for asked in claim.asked:\n            asked(why, now_ns)\n",
            "",
        ),
        (
            "a late answer adopts a session that was asked for again",
            "        return self._claims.get(claim.session) is claim\n",
            "        return True\n",
        ),
        ("an account is opened twice", " or account in self._opened:", ":"),
        (
            "what the last owner did not report is never reported",
            "        if row.at or row.owner:\n",
            "        if False:\n",
        ),
        (
            "a session is adopted before all that was handed over is executed",
            "        self._core.when_joined(entry_id(told[2]), lambda at_ns: self._counted(claim, at_ns), now_ns)\n",
            "        self._counted(claim, now_ns)\n",
        ),
    ),
    *mutants(
        "gateway/cluster/house.py",
        _TOGETHER,
        (
            "the client of a session that was lost is not sent away",
            "                self._fix.close_session(session_id)\n",
            "                pass\n",
        ),
        (
            "nobody guards the orders of a session that comes",
            "        services.cancel_on_disconnect.restore(link, now_ns, 0, now_ns + grace_ms * NS_PER_MS)\n",
            "",
        ),
        (
            "a planned end gives clients no time to go elsewhere",
            "max(link.grace_ms, services.settings.venue.drain_ms) if adopted.was_asked else link.grace_ms",
            "link.grace_ms",
        ),
        (
            "reports that were told by the last owner are told again",
            "at < event.seq <= latest",
            "event.seq <= latest",
        ),
    ),
    *mutants(
        "gateway/doors/fix/endpoint.py",
        ("tests/e2e/test_cluster.py",),
        ("a client is told what its lost session never recorded", "            link.forget_unrecorded()\n", ""),
    ),
    *mutants(
        "gateway/doors/ws/endpoint.py",
        ("tests/gateway/doors/ws/test_endpoint.py",),
        ("the same over ws", "close(code, text, now_ns, drops_unwritten=True)", "close(code, text, now_ns)"),
    ),
    *mutants(
        "gateway/remote/sweeps.py",
        ("tests/gateway/remote/test_sweeps.py",),
        ("an order that waited elsewhere outlives a mass cancel", "command.t_recv < sweep.command.t_recv", "False"),
        ("one's own orders are withdrawn twice", "sweep.node != node and ", ""),
        ("it bars for ever", "if now_ms - row.at_ms < _BARS_MS", "if True"),
    ),
)
