"""How commands read `--ttl 15m`, wherever an operator says how long something shall hold."""

import re

import click

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(text: str) -> int:
    """The seconds that `15m` names; a number without a unit is refused, for nobody can tell what was meant.

    Raises:
        click.BadParameter: it names none.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None or not int(found[1]):
        raise click.BadParameter('write a time such as "90s", "15m", "2h" or "1d"', param_hint="--ttl")
    return int(found[1]) * _UNIT_S[found[2]]
