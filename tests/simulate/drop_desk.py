"""Somebody who only listens: a drop copy of an account, whose logon sometimes forgets to say so."""

from protocols.fix.events import AppMessage
from tests.simulate.fix_desk import FixDesk
from tests.simulate.world import Broken

_FORGETS_CHANCE = 0.2


class DropDesk(FixDesk):
    """It hears all of its account, each event once and none left out, and asks for nothing."""

    hears_all = True

    def ask(self, kind: str = "") -> None:
        """It has nothing to ask for."""

    def lose(self, requests: int) -> None:
        """It sends nothing that could be lost."""

    def _wishes(self) -> str:
        return "" if self.world.happens(_FORGETS_CHANCE) else "9406=Y\x01"

    def _on_message(self, message: AppMessage) -> None:
        fields, ledger = message.fields, self.ledger
        seq = int(fields.get(20105, "0"))
        self.world.note(f"{ledger.name} <- {message.msg_type} {fields.get(11, '')} {fields.get(150, '')} seq={seq}")
        if seq and not ledger.event(seq, self._content(message)):
            raise Broken(f"4: {ledger.name} was handed event {seq} twice")
        if message.msg_type == "8" and fields[150] not in ("8", "A", "I"):
            ledger.changed(fields[37], fields[11], float(fields[151]))
