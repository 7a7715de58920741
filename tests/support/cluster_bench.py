"""Gateways of one venue on a real Redis, as far as they write: their commits, leases and claims, without sockets."""

from gateway.cluster import scripts
from gateway.cluster.journal import Gateway, SharedJournal
from gateway.cluster.scripts import Script
from gateway.remote.core import Handed
from gateway.remote.keys import Keys
from gateway.remote.wire import encode_commands
from protocols.messages import session_of

KEYS = Keys("t")
LEASE_MS = 60_000


class Core:
    """The core, as a commit sees it."""

    field, epoch = "m", "e-1"

    def __init__(self):
        self.unsent, self.entries, self.latest = [], [], {}

    def hand_over(self, *commands):
        sessions = frozenset(session_of(command.cmd_id) for command in commands)
        self.unsent.append(Handed(1, encode_commands(commands, "msgpack"), len(commands), sessions=sessions))

    def wire(self, handed):
        return handed.data

    def appended(self, handed, entry):
        self.entries.append(entry)

    def latest_seq(self, account):
        return self.latest.get(account, 0)


class Writer:
    """One gateway. lost: the sessions that it has lost. holds: its commits do not reach Redis."""

    def __init__(self, redis, name, boot="b1"):
        self.redis, self.name, self.boot = redis, name, boot
        self.core, self.lost, self.dropped, self.holds = Core(), set(), [], False
        self.journal = SharedJournal(Gateway(KEYS, name, boot), 10_000)
        self.journal.connect(self.core, self._send, self._on_lost)

    def _on_lost(self, sessions, cmd_ids):
        self.lost |= set(sessions)
        self.dropped += cmd_ids
        for session in sessions:
            self.journal.disown(session)

    def _send(self, commit):
        if not self.holds and self.answer(*self.ask(commit)):
            self.send_again()

    def ask(self, commit):
        """A commit, what it was about, and what Redis says to it."""
        return commit, tuple(commit.sessions), self.run(scripts.COMMIT, *self.journal.command_of(commit))

    def answer(self, commit, sessions, reply):
        return self.journal.answered(commit, sessions, reply)

    def send_again(self):
        for commit in list(self.journal.unanswered):
            self._send(commit)

    def run(self, script: Script, keys, args):
        return self.redis.eval(script.text, len(keys), *keys, *args)

    def commit(self):
        """One turn."""
        position = self.journal.commit(0)
        self.core.unsent = [each for each in self.core.unsent if not each.is_sent]
        return position

    def begin(self, lease_ms=LEASE_MS):
        return self._lease(lease_ms, "begin")

    def renew(self, lease_ms=LEASE_MS):
        return self._lease(lease_ms, "renew")

    def end(self):
        return self._lease(0, "end")

    def _lease(self, lease_ms, wish):
        keys = (KEYS.gateway(self.name), KEYS.gateways, KEYS.commands)
        return self.run(scripts.LEASE, keys, ("{t}:", self.name, self.boot, lease_ms, wish))

    def claim(self, session, when="any", account=0):
        """Returns what the script says; on "ok" the session is owned."""
        keys = (KEYS.session(session), KEYS.gateway(self.name), KEYS.commands, KEYS.control)
        told = self.run(scripts.CLAIM, keys, ("{t}:", self.name, self.boot, session, when, 1_000, '{"sessions":[1]}'))
        if told[0] == b"ok":
            self.journal.own(session, int(told[1]), account)
        return told

    def row(self, session):
        return self.redis.hgetall(KEYS.session(session))
