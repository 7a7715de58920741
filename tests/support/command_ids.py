"""The number of a command, taken apart."""

from protocols.messages import Lane, pack_cmd_id

_SESSION = pack_cmd_id(1, Lane.ORDER, 0)
_LANE = pack_cmd_id(0, Lane.CANCEL, 0)


def unpack_cmd_id(cmd_id: int) -> tuple[int, Lane, int]:
    """The (session, lane, n) that `pack_cmd_id` packed."""
    return cmd_id // _SESSION, Lane(cmd_id % _SESSION // _LANE), cmd_id % _LANE
