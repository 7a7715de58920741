"""What a test gives to code that reports something which the test is not about."""


def ignore(*_: object) -> None:
    """Not looked at."""
