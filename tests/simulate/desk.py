"""What both kinds of client do: trade by chance, retry what has no answer, come back when the connection is gone."""

from collections.abc import Callable
from typing import Protocol

from tests.simulate.pipes import End, Pipe
from tests.simulate.promises import Asked, Ledger
from tests.simulate.world import SECOND, Broken, World

_RETRY_NS = 4 * SECOND
_PATIENCE_NS = 12 * SECOND  # without credentials a silent link is found dead first, of which pauses are no part
_MID = 60_000_00
_BURST_CHANCE = 0.1  # of many orders in one piece


class Entrance(Protocol):
    """Where clients connect: one gateway, or one of several."""

    @property
    def lives(self) -> int:
        """How many processes there were."""

    @property
    def lets_in(self) -> bool:
        """Whether nothing keeps a client out."""

    def connect_fix(self, client: End) -> Pipe | None:
        """A connection to the FIX door; None: there is nobody."""

    def connect_ws(self, client: End) -> Pipe | None:
        """A connection to the WebSocket door, its upgrade answered."""


class Desk:
    """One client. A door's own words are in `_send`, `_log_on` and `received`."""

    own_kinds: tuple[str, ...] = ()
    weights: tuple[int, ...] = (60, 25, 10, 1, 2, 3)

    def __init__(self, world: World, venue: Entrance, name: str, account: int, session: int = 0) -> None:
        self.world = world
        self.venue = venue
        self.ledger = Ledger(world, name, account, session)
        self.pipe: Pipe | None = None
        self.is_logged_on = False
        self._outside: tuple[int, int] | None = None  # since when it has tried in vain, and among which processes
        self.is_quiet = False  # asks for nothing new any more
        self.stays_away = False
        self.before_logon: Callable[[], None] | None = None  # happens between its next connection and its logon
        world.at(world.between(0, 200), self._connect)
        world.at(world.between(100, 400), self._act)

    @property
    def turns(self) -> int:
        """What counts up when requests without an answer may have been lost: gateways, or connections."""
        return self.venue.lives

    # -- the connection ------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self.pipe is None and not self.stays_away:
            self._open()
            if self.pipe is None:
                self.world.at(self.world.between(20, 400), self._connect)
            else:
                self._be_patient()

    def _be_patient(self) -> None:
        """A venue that is well lets us in by and by."""
        now_ns, lives = self.world.now_ns, self.venue.lives
        if self._outside is None or self._outside[1] != lives or not self.venue.lets_in:
            self._outside = (now_ns, lives)
        elif now_ns - self._outside[0] > _PATIENCE_NS:
            raise Broken(f"12: {self.ledger.name} is not let in for {_PATIENCE_NS // SECOND} s")

    def let_in(self) -> None:
        """The logon is answered."""
        self.is_logged_on, self._outside = True, None

    def is_connected(self) -> None:
        """There is a connection, and the logon is next."""
        call, self.before_logon = self.before_logon, None
        if call is not None:
            call()

    def disconnected(self) -> None:
        """The connection is gone, whoever ended it."""
        self.pipe, self.is_logged_on = None, False
        self._closed()
        self.world.note(f"{self.ledger.name} is disconnected")
        self.world.at(self.world.between(20, 600), self._connect)

    def hang_up(self) -> None:
        """End the connection without a word."""
        if self.pipe is not None:
            self.pipe.close()
            self.disconnected()

    # -- what it does --------------------------------------------------------------------------------------------

    def _act(self) -> None:
        self.world.at(self.world.between(2, 60), self._act)
        if not self.is_logged_on:
            return
        self._retry()
        if not self.is_quiet:
            for _ in range(self.world.random.choice((1, 1, 1, 2, 8))):
                self.ask()
            if self.world.happens(_BURST_CHANCE):
                for _ in range(self.world.random.randint(3, 16)):
                    self.ask("new")

    def _retry(self) -> None:
        """An order without an answer is sent again as a possible repeat; anything else is given up with its process."""
        now_ns = self.world.now_ns
        for id, asked in list(self.ledger.waiting.items()):
            if now_ns - asked.sent_ns < _RETRY_NS:
                continue
            if asked.kind == "new" and asked.turn != self.turns:
                asked.tries += 1
                asked.sent_ns, asked.turn = now_ns, self.turns
                self.ledger.retried(id)
                self.world.note(f"{self.ledger.name} asks again {id}")
                self._send(id, asked)
            elif asked.kind not in ("new", "fault") and asked.turn != self.turns:
                self.ledger.give_up(id)

    def ask(self, kind: str = "") -> None:
        """Ask for something, or for this: then an order that is to be cancelled may be done."""
        chance, ledger = self.world.random, self.ledger
        kinds = ("new", "cancel", "replace", "sweep", "status", "odd", *self.own_kinds)
        mine = [id for id, _ in ledger.book.values() if id.startswith(ledger.name)]
        if kind and kind != "new" and not mine:
            mine = [f"{ledger.name}-1"]
        kind = kind or chance.choices(kinds, self.weights)[0]
        if kind in ("cancel", "replace") and not mine:
            kind = "new"
        id, params = ledger.new_id(), {"symbol": "BTC-USDT"}
        if kind == "odd":  # refused at once, whatever waits before it
            kind, params["symbol"] = "new", "NONE"
        if kind in ("cancel", "replace"):
            params["orig"] = chance.choice(mine)
        if kind in ("new", "replace"):
            params["side"] = chance.choice(("1", "2"))
            params["price"] = f"{(_MID + chance.randint(-8, 8)) / 100:.2f}"
            params["qty"] = str(chance.randint(1, 5))
        asked = Asked(kind, params, self.world.now_ns, self.turns)
        ledger.asked(id, asked)
        self.world.note(f"{ledger.name} {kind} {id} {' '.join(params.values())}")
        self._send(id, asked)

    # -- a door's own --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        raise NotImplementedError

    def _closed(self) -> None:
        raise NotImplementedError

    def _send(self, id: str, asked: Asked) -> None:
        raise NotImplementedError
