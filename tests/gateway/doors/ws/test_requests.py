"""`gateway.doors.ws.requests` beside the table of methods: what one of them knows, the other does."""

from gateway.doors.ws.requests import OWN
from protocols.ws.results import METHODS
from protocols.ws.translate import COMMANDS


def test_every_method_makes_a_command_or_is_answered_here_and_never_both() -> None:
    answered = OWN.keys()
    assert METHODS.keys() - COMMANDS - answered == {"session.logon"}, "the machine asks for the proof of a logon"
    assert (COMMANDS | answered) <= METHODS.keys()
    assert not COMMANDS & answered
