"""Upper bound on memory for a configuration, part by part: logged at start, so that a container can be given enough.

Sizes of Python objects are rounded up from measurements; `tests/faults/overload.py` compares the sum with a loaded
process. Pure arithmetic over the configuration.
"""

from gateway.config import schema
from gateway.core.orders import MAX_RETIRED
from gateway.core.plain_orders import MAX_TERMS
from gateway.sessions.former_names import MAX_PER_KEY
from limits.paths import MAX_KEPT
from protocols.fix.order_reader import MAX_KINDS
from protocols.fix.run_report import MAX_WORDINGS
from protocols.instruments import MAX_RENDERED
from protocols.known_numbers import MAX_NUMBERS
from protocols.ws import order_reader as ws_orders
from protocols.ws.order_run import MAX_TAGS

_MIB = 1 << 20
_PROCESS_BYTES = 160 * _MIB  # the interpreter, libraries, FIX dictionaries, and what their allocators keep
_READ_BYTES = 262_144  # one read of a connection, parsed turn by turn
_WRITE_BYTES = 131_072  # output of one connection: in the transport and waiting for the journal
_REQUEST_BYTES = 3_072  # a waiting command with its message and its names
_EVENT_BYTES = 768
_MESSAGE_BYTES = 512  # a message that a FIX session of several gateways has sent
_ORDER_BYTES = 1_024  # a remembered order with its ids
_SESSION_BYTES = 2_048  # the buckets of a session
_NAME_BYTES = 384  # the name of a WebSocket session that ended
_KIND_BYTES = 1_536  # what a FIX session has learned of one kind of order; the core keeps some as well
_WORDING_BYTES = 2_048  # what its reports of one kind have in common, and of one tag
_TERMS_BYTES = 512  # what orders of a WebSocket kind with one tag have in common
_NUMBER_BYTES = 192  # a price, quantity or amount beside its text


def memory_bounds(settings: schema.Config) -> dict[str, int]:
    """Bytes by part; the process stays below their sum."""
    ws = settings.ws
    connections = settings.fix.max_connections + (ws.max_connections if ws is not None else 0)
    message_bytes = max(settings.fix.max_message_bytes, ws.max_frame_bytes * 4 if ws is not None else 0)
    accounts = len(settings.accounts)
    exponents = {exp for row in settings.instruments for exp in (row.px_exp, row.qty_exp, row.px_exp + row.qty_exp)}
    ws_kinds = ws_orders.MAX_KINDS * MAX_TAGS * _TERMS_BYTES if ws is not None else 0
    remembered = min(accounts * settings.core.dedupe_ids, MAX_RETIRED)
    cluster = settings.cluster
    messages = len(settings.fix.sessions) * cluster.retain_messages * _MESSAGE_BYTES if cluster is not None else 0
    return {
        "process": _PROCESS_BYTES,
        "input": connections * (_READ_BYTES + message_bytes),
        "output": connections * _WRITE_BYTES + settings.out.total_bytes,
        "queue": settings.ingress.max_bytes + settings.ingress.max_commands * _REQUEST_BYTES,
        "streams": accounts * settings.stream.retain_events * _EVENT_BYTES,
        "resends": len(settings.fix.sessions) * settings.journal.retain_messages * 4,
        "commits": 2 * cluster.max_waiting_bytes if cluster is not None else 0,  # and as Redis is sent them
        "messages": messages,
        "core": remembered * _ORDER_BYTES + MAX_TERMS * _KIND_BYTES,
        "limits": MAX_KEPT * _SESSION_BYTES,
        "names": len(settings.keys) * MAX_PER_KEY * _NAME_BYTES,
        "kinds": len(settings.fix.sessions) * (MAX_KINDS * _KIND_BYTES + MAX_WORDINGS * _WORDING_BYTES) + ws_kinds,
        "numbers": (MAX_NUMBERS + len(exponents) * MAX_RENDERED) * _NUMBER_BYTES,
    }
