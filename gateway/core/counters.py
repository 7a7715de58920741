"""The last values that the engine has used. One object, which all its parts share."""


class Counters:
    """now_ns: core time in ns UTC, which never goes back. The three ids are the last ones given."""

    __slots__ = ("exec_id", "now_ns", "order_id", "trade_id")

    def __init__(self, now_ns: int = 0, order_id: int = 0, exec_id: int = 0, trade_id: int = 0) -> None:
        self.now_ns = now_ns
        self.order_id = order_id
        self.exec_id = exec_id
        self.trade_id = trade_id
