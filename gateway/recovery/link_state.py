"""Where a gateway stands with a core in another process: what it has handed over, and what was delivered to it. Pure.

A record of either kind is part of the commit of its turn. So what a crash leaves is always whole: an order is in a
session's numbers and handed over, or neither; an event is in its report and counted as reported, or neither.
"""

from gateway.recovery.records import DeliveredRecord, HandOverRecord, LinkImage
from protocols.messages import AnyCommand

_BEFORE_ALL = (0, 0)


class LinkStanding:
    """The state, kept up with each record.

    handed: by number what is not answered, in order. waiting: by cmd_id what is in the queue, in order. delivered: the
    latest entry. reported: by account, in this epoch.
    """

    def __init__(self) -> None:
        self.handed: dict[int, bytes] = {}
        self.waiting: dict[int, AnyCommand] = {}
        self.delivered = _BEFORE_ALL
        self.reported: dict[int, int] = {}
        self.epoch = ""

    def handed_over(self, record: HandOverRecord) -> None:
        """One hand-over more is not answered."""
        self.handed[record.number] = record.data

    def was_delivered(self, record: DeliveredRecord) -> None:
        """Answers came."""
        if record.epoch:
            if self.epoch not in ("", record.epoch):
                self.reported.clear()  # of streams that have ended
            self.epoch = record.epoch
        self.delivered = record.entry
        self.reported.update(record.reported)
        for number in [number for number in self.handed if number <= record.answered]:
            del self.handed[number]

    def image(self) -> LinkImage | None:
        """All of it, None if nothing was ever handed over or delivered."""
        if not (self.handed or self.waiting) and self.delivered == _BEFORE_ALL:
            return None
        handed = tuple(HandOverRecord(number, data) for number, data in self.handed.items())
        return LinkImage(
            DeliveredRecord(self.delivered, 0, dict(self.reported), self.epoch), handed, tuple(self.waiting.values())
        )

    def restore(self, image: LinkImage | None) -> None:
        """As of a snapshot."""
        self.handed, self.waiting, self.delivered, self.reported, self.epoch = {}, {}, _BEFORE_ALL, {}, ""
        if image is not None:
            self.was_delivered(image.delivered)
            for record in image.handed:
                self.handed_over(record)
            self.waiting = {command.cmd_id: command for command in image.waiting}
