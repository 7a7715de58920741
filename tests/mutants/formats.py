"""Mistakes in stored formats: what an earlier version has written is read as something else, or not at all."""

from tests.mutants.plant import Mutant, mutants

_EARLIER = ("tests/gateway/recovery/test_earlier_journal.py",)

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "gateway/recovery/records.py",
        _EARLIER,
        ("recorded names have another kind than before", "WS_SESSION = 18 ", "WS_SESSION = 99 "),
        ("recorded links have another kind than before", "LINK = 19 ", "LINK = 99 "),
        ("a clean end has another kind than before", "CLEAN = 20 ", "CLEAN = 99 "),
        ("chunks of a snapshot have another kind than before", "CHUNK = 21 ", "CHUNK = 99 "),
        ("scheduled resets have another kind than before", "RESET = 22 ", "RESET = 99 "),
        ("ended sessions have another kind than before", "ENDED = 23 ", "ENDED = 99 "),
    ),
    *mutants(
        "gateway/safety/cancel_on_disconnect.py",
        _EARLIER,
        (
            "two fields of a recorded link changed places",
            "    grace_ms: int\n    dead_man_ns: int\n",
            "    dead_man_ns: int\n    grace_ms: int\n",
        ),
    ),
    *mutants(
        "gateway/journal/record.py",
        _EARLIER,
        ("a reset by a Logon has another kind than before", "RESET = 4 ", "RESET = 9 "),
        ("numbers of a session have another kind than before", "STATE = 2 ", "STATE = 9 "),
        ("messages of a session have another kind than before", "OUT = 3 ", "OUT = 9 "),
    ),
)
