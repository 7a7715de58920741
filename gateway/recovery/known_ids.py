"""What each id of the configuration has meant since the journal began: ids are never reused.

Commands, events, messages and modes refer to accounts, sessions and instruments by number or name. If id 7 became
another account, its new owner would get the messages of the old one; with a new px_exp an order would get another
price. Pure.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import msgspec
from msgspec import structs

from gateway.config import schema
from protocols.instruments import Instrument, Instruments

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class ConfigMismatch(Exception):
    """The configuration contradicts the journal; the text says where, and what to do."""


class KnownIds(msgspec.Struct, frozen=True, array_like=True):
    """accounts: id -> name. sessions: id -> (CompID, account id), of FIX. keys: id -> account id.

    instruments: by id, as they were when they last traded, so that their events can still be replayed.
    """

    instruments: dict[int, Instrument]
    accounts: dict[int, str]
    sessions: dict[int, tuple[str, int]]
    keys: dict[str, int]


def configured_ids(settings: schema.Config, instruments: Instruments) -> KnownIds:
    accounts = {row.name: row.id for row in settings.accounts}
    return KnownIds(
        dict(instruments.by_id),
        {row.id: row.name for row in settings.accounts},
        {row.id: (row.comp_id, accounts[row.account]) for row in settings.fix.sessions},
        {row.id: accounts[row.account] for row in settings.keys},
    )


def merge(before: KnownIds, now: KnownIds) -> KnownIds:
    """All ids that were ever used, when a venue continues under another configuration.

    Raises:
        ConfigMismatch: an id, or a name, means something else than it did.
    """
    _compare("instrument", _pairs(before.instruments), _pairs(now.instruments))
    _compare("the instrument called", _turned(_symbols(before.instruments)), _turned(_symbols(now.instruments)))
    _compare("account", before.accounts, now.accounts)
    _compare("the account called", _turned(before.accounts), _turned(now.accounts))
    _compare("FIX session", before.sessions, now.sessions)
    _compare("key", before.keys, now.keys)
    return KnownIds(*(old | new for old, new in zip(structs.astuple(before), structs.astuple(now), strict=True)))


def _compare(what: str, before: Mapping[_Key, _Value], now: Mapping[_Key, _Value]) -> None:
    for key, value in now.items():
        if key in before and before[key] != value:
            raise ConfigMismatch(
                f"{what} {key} was {_words(before[key])} and is {_words(value)} now. Ids cannot be reused. Restore the"
                " old entry and pick a new id, or start with an empty journal.directory."
            )


def _pairs(instruments: Mapping[int, Instrument]) -> dict[int, tuple[str, str, str]]:
    return {row.id: (row.symbol, f"px_exp {row.px_exp}", f"qty_exp {row.qty_exp}") for row in instruments.values()}


def _symbols(instruments: Mapping[int, Instrument]) -> dict[int, str]:
    return {row.id: row.symbol for row in instruments.values()}


def _turned(names: Mapping[int, str]) -> dict[str, int]:
    return {name: number for number, name in names.items()}


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
