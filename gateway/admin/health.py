"""Whether the gateway is alive, and whether it is ready for clients; each reason why not is a word and a sentence.

Alive means that the event loop answers: restart the process if it does not. Ready means that clients may be sent here.
A gateway that drains, or whose core is away, is alive and not ready.
"""

from collections.abc import Callable

Check = Callable[[], str]
"""Returns why this part is not ready, "" if it is."""


class Health:
    """The readiness checks that parts have registered."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Call `check` at every probe. It runs in the event loop, so it must be quick and must not wait."""
        self._checks[name] = check

    def reasons(self) -> dict[str, str]:
        """Why the gateway is not ready, by part; empty if it is."""
        return {name: text for name, check in self._checks.items() if (text := _ask(check))}


def _ask(check: Check) -> str:
    try:
        return check()
    except Exception as error:  # a broken check must not hide the state of the others
        return f"check failed: {type(error).__name__}"
