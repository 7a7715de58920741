"""How commands read a duration such as `--ttl 15m`."""

import re

import click

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(text: str) -> int:
    """The seconds in `15m`. A number without a unit is refused, because its meaning is unclear.

    Raises:
        click.BadParameter: it is not a duration.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None or not int(found[1]):
        raise click.BadParameter('write a time such as "90s", "15m", "2h" or "1d"', param_hint="--ttl")
    return int(found[1]) * _UNIT_S[found[2]]
