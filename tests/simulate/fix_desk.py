"""An institution: the initiator's side of the real session machine, its numbers kept over everything.

Beside the machine, each frame is noted as it comes: a number that was once sent has one content for ever.
"""

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.fix.events import AppMessage, Disconnect, Event, LoggedOn, LoggedOut, PeerReject
from protocols.fix.framing import Framer, Garbled
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import SessionSettings, SessionState
from protocols.fix.session.store import MemoryStore
from protocols.fix.times import format_ns
from protocols.signing import fix_logon_text
from tests.simulate.desk import Desk, Entrance
from tests.simulate.promises import UNKNOWN_OUTCOME, Asked
from tests.simulate.world import MS, Broken, World
from tests.support.venue_rows import seed_of

_TICK_NS = 100 * MS
_LOGOUT_CHANCE = 0.004
_ANSWER_TIMEOUT_NS = 1_400 * MS  # a little less than the venue's
_NOT_CONTENT = frozenset(("8", "9", "10", "43", "52", "122", "369", "97"))
_SESSION_TYPES = frozenset("01245A")


class FixDesk(Desk):
    """One FIX session. keys: names of those that it signs with, without a word of which (553): some day the next."""

    own_kinds = ("fault",)
    hears_all = False
    weights = (60, 25, 10, 1, 2, 3, 2)

    def __init__(
        self, world: World, venue: Entrance, name: str, account: int, session: int, keys: tuple[str, ...] = ()
    ) -> None:
        settings = SessionSettings(
            begin_string="FIX.4.4",
            sender_comp_id=name,
            target_comp_id="GATE",
            role="initiator",
            heart_bt_int_s=2,
            sending_time_tolerance_s=86_400,  # what it refused for its clock's sake would be lost on it
        )
        self.machine = FixSession(settings, MemoryStore(), world.wall)
        self._framer = Framer(65_536)
        self._contents: dict[int, str] = {}
        self._keys = [Ed25519PrivateKey.from_private_bytes(seed_of(key)) for key in keys]
        self._deaf_to = 0  # ResendRequests that this connection will not hear
        self._began_ns = self._left_ns = 0  # when this connection was logged on, and when we asked to end it
        self._left_open: list[str] = []  # what had no answer then
        self._logout_text = ""
        self._faults: dict[int, str] = {}  # MsgSeqNum of a message that must be rejected: its id
        super().__init__(world, venue, name, account, 0 if self.hears_all else session)
        world.at(_TICK_NS, self._tick)
        world.at(world.between(1_000, 8_000), self._rotate)

    def _rotate(self) -> None:
        del self._keys[:-1]

    def proof(self, number: int, at: str) -> str:
        """The credentials of a Logon with this MsgSeqNum(34) and SendingTime(52), if it needs any."""
        if not self._keys:
            return ""
        signed = fix_logon_text({49: self.ledger.name, 56: "GATE", 34: str(number), 52: at})
        signature = base64.b64encode(self._keys[0].sign(signed)).decode()
        return f"95={len(signature)}\x0196={signature}\x01"

    def _open(self) -> None:
        self.pipe = self.venue.connect_fix(self)
        if self.pipe is not None:
            self.is_connected()
            self._framer = Framer(65_536)
            self.machine.connected(self.world.now_ns)
            proof = self.proof(self.machine.store.next_out, format_ns(self.world.time_ns(), 6))
            self.machine.logon(self.world.now_ns, proof + self._wishes())
            self._flush()

    def _wishes(self) -> str:
        return "8013=S\x0120107=300\x01" if self.ledger.name == "S2" else ""

    def lose(self, requests: int) -> None:
        """Our next message is lost, and so many requests for it: the last connection can say what is to be done."""
        self.machine.send("D", self._words("", Asked("fault", {}, 0, 0))[1].replace("|", "\x01"), self.world.now_ns)
        self._faults[self.machine.store.next_out - 1] = ""
        self.machine.take_output(1 << 20, self.world.now_ns)
        self._deaf_to = requests

    def _act(self) -> None:
        super()._act()
        if self.is_logged_on and not self.is_quiet and self.world.happens(_LOGOUT_CHANCE):
            self.world.fault("a logout behind requests")
            self.leave()

    def leave(self) -> None:
        """Log out, whatever has no answer yet."""
        now_ns = self.world.now_ns
        self._left_ns, self.is_logged_on = now_ns, False
        self._left_open = [id for id, asked in self.ledger.waiting.items() if asked.sent_ns >= self._began_ns]
        self.machine.logout(now_ns, "")
        self._flush()

    def _check_left(self) -> None:
        """Our Logout is answered, sooner than one that has waited in vain: what was asked before it has its answer."""
        if not self._left_ns or self.world.now_ns - self._left_ns > _ANSWER_TIMEOUT_NS or self._logout_text:
            return
        for id in self._left_open:
            asked = self.ledger.waiting.get(id)
            if asked is not None and not asked.is_unknown:
                raise Broken(f"3: {self.ledger.name} was logged out before {asked.kind} {id} had its answer")

    def _closed(self) -> None:
        self._left_ns = 0
        self._deaf_to = 0
        self.machine.disconnected(self.world.now_ns)

    def _tick(self) -> None:
        self.world.at(_TICK_NS, self._tick)
        if self.machine.state not in (SessionState.DISCONNECTED, SessionState.ENDED):
            self._heed(self.machine.tick(self.world.now_ns))

    def received(self, data: bytes) -> None:
        """From the gateway."""
        for frame in self._framer.feed(data):
            if isinstance(frame, Garbled):
                raise Broken(f"4: {self.ledger.name} got a garbled message: {frame.reason}")
            if self._deaf_to and b"\x0135=2\x01" in frame:
                self._deaf_to -= 1
                continue
            self._note(frame.decode())
            if self.machine.state is not SessionState.DISCONNECTED:
                self._heed(self.machine.receive(frame, self.world.now_ns))

    def _note(self, frame: str) -> None:
        pairs = [field.partition("=")[::2] for field in frame.split("\x01")]
        fields = dict(pairs)
        msg_type, number = fields["35"], int(fields["34"])
        if msg_type in _SESSION_TYPES:
            self._logout_text = fields.get("58", "")
            return
        content = "|".join(f"{tag}={value}" for tag, value in pairs if tag not in _NOT_CONTENT)
        before = self._contents.setdefault(number, content)
        if before != content:
            raise Broken(f"f: MsgSeqNum {number} of {self.ledger.name} had\n  {before}\nand has\n  {content}")

    def _heed(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, AppMessage):
                self._on_message(event)
            elif isinstance(event, LoggedOn):
                self.let_in()
                self._began_ns = self.world.now_ns
                self.world.note(f"{self.ledger.name} is logged on")
                if self.world.happens(0.3):
                    self._repeat()
            elif isinstance(event, LoggedOut | Disconnect):
                if "MsgSeqNum too low" in event.text:
                    raise Broken(f"c: {self.ledger.name} ends: {event.text}")
                if isinstance(event, LoggedOut):
                    self._judge_end(event.text)
                    self._check_left()
                self._flush()
                self.hang_up()
                return
            elif isinstance(event, PeerReject):
                self._on_reject(event)
        self._flush()

    def _on_reject(self, event: PeerReject) -> None:
        """Of each faulty message once, and of no other."""
        id = self._faults.pop(event.ref_seq_num, None)
        if id is None:
            raise Broken(f"6: {self.ledger.name} was rejected: {event.text}")
        self.world.note(f"{self.ledger.name} <- Reject of {event.ref_seq_num} {id}")
        self.ledger.answered(id)

    def _judge_end(self, text: str) -> None:
        """A connection that we still have is not ended for another one, nor for silence on one that is not silent."""
        self.world.note(f"{self.ledger.name} ends: {text}")
        if text == "superseded":
            raise Broken(f"1: {self.ledger.name} lost its connection to one that is not its own")
        if text.startswith("no message") and self.pipe is not None and self.pipe.is_sound:
            raise Broken(f"12: {self.ledger.name} was not heard: {text}")

    def _repeat(self) -> None:
        """Send the latest messages again, though nobody has asked: an answer to a duplicate would be a second one."""
        last = self.machine.store.next_out - 1
        if last > 4:
            self.world.fault("messages sent again")
            self.machine._output.replay(last - 3, last)

    def _flush(self) -> None:
        if self.pipe is not None:
            self.pipe.write(self.machine.take_output(1 << 20, self.world.now_ns))

    # -- requests ------------------------------------------------------------------------------------------------

    def _send(self, id: str, asked: Asked) -> None:
        msg_type, body = self._words(id, asked)
        again = "97=Y\x01" if asked.tries else ""
        number = self.machine.send(msg_type, again + body.replace("|", "\x01"), self.world.now_ns)
        if asked.kind == "fault":
            self._faults[number] = id
        self._flush()

    def _words(self, id: str, asked: Asked) -> tuple[str, str]:
        at, params = format_ns(self.world.time_ns(), 6), asked.params
        if asked.kind == "new":
            terms = f"54={params['side']}|38={params['qty']}|40=2|44={params['price']}|59=1"
            return "D", f"11={id}|55={params['symbol']}|{terms}|60={at}|"
        if asked.kind == "fault":
            return (
                "D",
                f"11={id or 'lost'}|55=BTC-USDT|54=1|38=1|44=60000|59=1|60={at}|",
            )  # no OrdType(40)
        if asked.kind == "cancel":
            return "F", f"11={id}|41={params['orig']}|55=BTC-USDT|54=1|60={at}|"
        if asked.kind == "replace":
            terms = f"38={params['qty']}|40=2|44={params['price']}"
            return "G", f"11={id}|41={params['orig']}|55=BTC-USDT|54={params['side']}|{terms}|60={at}|"
        if asked.kind == "sweep":
            return "q", f"11={id}|530=7|60={at}|"
        return "AF", f"584={id}|585=7|"

    # -- answers -------------------------------------------------------------------------------------------------

    def _on_message(self, message: AppMessage) -> None:
        fields, ledger = message.fields, self.ledger
        kind, code, number = (fields.get(tag, "") for tag in (150, 25016, 20105))
        self.world.note(f"{ledger.name} <- {message.msg_type} {fields.get(11, '')} 150={kind} {code} seq={number}")
        seq = int(fields.get(20105, "0"))
        is_new = not seq or fields.get(150) == "I" or ledger.event(seq, self._content(message), is_dense=False)
        if not is_new:
            raise Broken(f"4: {ledger.name} was handed event {seq} twice")
        if message.msg_type == "8":
            self._on_report(fields)
        elif message.msg_type == "9":
            ledger.refuse(fields[11], int(fields.get(25016, "0")))
        elif message.msg_type == "r":
            ledger.swept(fields.get(11, ""))
        elif message.msg_type == "j":
            is_unknown = fields.get(20102) == "1"
            ledger.refuse(fields.get(379, ""), UNKNOWN_OUTCOME if is_unknown else int(fields.get(25016, "0")))

    def _content(self, message: AppMessage) -> str:
        return "|".join(message.fields.get(tag, "") for tag in (11, 37, 150, 39, 151, 14))

    def _on_report(self, fields: dict[int, str]) -> None:
        ledger, id, kind, code = self.ledger, fields.get(11, ""), fields[150], int(fields.get(25016, "0"))
        is_mine = id.startswith(f"{ledger.name}-")
        if kind == "I":
            ledger.answered(fields.get(584, id))
        elif kind == "8" or code == UNKNOWN_OUTCOME:
            if is_mine:
                ledger.refuse(id, code)
        elif kind != "A":
            if kind == "0" and is_mine:
                ledger.accept(id, fields[37])
            elif is_mine:
                ledger.answered(id)
            if kind == "5" and is_mine:
                ledger.accepted.pop(fields[41], None)  # known by its new id from now on
            ledger.changed(fields[37], id, float(fields[151]))
