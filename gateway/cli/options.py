"""Options that several commands have: the configuration, files, and durations such as `--ttl 15m`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(text: str, option: str = "--ttl") -> int:
    """The seconds in `15m`. A number without a unit is refused, because its meaning is unclear.

    Raises:
        click.BadParameter: it is not a duration.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None or not int(found[1]):
        raise click.BadParameter('write a time such as "90s", "15m", "2h" or "1d"', param_hint=option)
    return int(found[1]) * _UNIT_S[found[2]]


def config_option(purpose: str) -> Callable[[_Command], _Command]:
    """The option `-c` of a command, with the path of the configuration."""
    default = Path("gateway.toml")
    return click.option("-c", "--config", "path", type=FILE, default=default, show_default=True, help=purpose)
