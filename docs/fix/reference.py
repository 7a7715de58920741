"""The page docs/reference/fix.md: every message, field, group and value that Penstock reads or sends over FIX.

Tables come from the dictionary, notes from `docs.fix.uses` and `docs.fix.words`. Fields that are legal and not used are
listed at the end by number only: they would bury what matters.
"""

from collections.abc import Iterable, Iterator

from docs.fix.markdown import table
from docs.fix.uses import GROUPS, HEADER, MEANINGS, REPORTS, REQUESTS, SESSION, Spoken, Use, has, is_used
from docs.fix.words import NAMES, WHEN_REJECTED, constants_of
from protocols.fix.decoder import Fault
from protocols.fix.dialect import Dialect
from protocols.fix.dictionary.tables import VERSIONS, Field, Layout, for_version
from protocols.fix.session.refusals import reject_body
from protocols.fix.session.settings import CLIENT_MSG_TYPES, SessionSettings
from protocols.fix.tags import SESSION_MSG_TYPES, SOH, SessionRejectReason
from protocols.fix.terms import NOT_HONOURED

_NEWEST = VERSIONS[-1]
_SESSIONS = tuple((version, dialect) for version in VERSIONS for dialect in ("penstock", "plain"))
_HEAD = ("Tag", "Field", "Type", "Needed", "Sessions", "Notes")


def reference() -> str:
    """The whole page."""
    return f"""# FIX reference

The fields of each message.

| Page | Contents |
| --- | --- |
| [Connect over FIX](../connect/fix.md) | how a session behaves |
| [Error codes](errors.md) | every code |
| [FIX scenarios](fix-scenarios.md) | each scenario of the session layer, with the tests that prove it |

Dictionaries in QuickFIX's format are made from the same table: [FIX.4.2](../spec/penstock-FIX42.xml),
[FIX.4.4](../spec/penstock-FIX44.xml), and for FIXT.1.1 the [transport](../spec/penstock-FIXT11.xml) and the
[application](../spec/penstock-FIX50SP2.xml). They are for sessions of dialect `penstock`. A `plain` session loads the
stock dictionary of its version, and is sent nothing that is not in it.

The column *Sessions* says `all` if every session that has the message has the field. Otherwise it lists the versions
and the dialect that have it. 5.0SP2 is FIXT.1.1 with ApplVerID 9. Fields from tag 5000 up are user-defined. Times are
UTC. Prices, quantities and amounts are plain decimals without exponent.

Reject(3) answers a field that the message may not have, a repeated or empty field, and a value of the wrong type or
outside the enumeration.

## Messages

{table(("MsgType", "Message", "From", "Sessions"), _messages())}
## Around every message

Header and trailer. Any other standard header field is accepted and ignored.

{table(_HEAD, _header_rows())}
## Session messages

{_sections(SESSION)}## Requests

{_sections(REQUESTS)}### Fields that are refused

These fields would change what an order means, and the matching core does not honour them. A D or G that has one is
refused with 2008, unless its value changes nothing.

{table(("Tag", "Field", "Accepted only as"), _refused_rows())}
## Reports

{_sections(REPORTS)}## Groups

The fields that we send of each entry. The first field opens the entry; the others follow in this order.

{table(("Group", "Tag", "Field", "Type", "Needed", "Notes"), _group_rows())}
## Values

The values that we serve or send. The dictionaries list every value of the standard. A value that is legal but not
served is refused with 2008, not rejected.

{table(("Tag", "Field", "Values"), _value_rows())}
## Reject reasons

SessionRejectReason(373), and the error code that a `penstock` session gets with it. FIX.4.2 knows 0-11; there the other
reasons are given only in Text(58).

{table(("373", "25016", "Name", "When"), _reason_rows())}
What a `plain` session gets when its version lacks the value:

{table(("Field", *(NAMES[version] for version in VERSIONS)), _fallback_rows())}
## Fields that are accepted and not used

These fields are checked for type and value like any other, and then change nothing. They are listed by tag number, each
version with what it adds to the one before. Names and positions are in the dictionaries.

{_unused()}"""


def _field(tag: int) -> Field:
    return for_version(_NEWEST).fields[tag]


def _where(pairs: Iterable[tuple[str, str]], universe: Iterable[tuple[str, str]] = _SESSIONS) -> str:
    """Which of the sessions in `universe` have something, in words."""
    every, found = set(universe), set(pairs)
    if found == every:
        return "all"
    by_dialect = {}
    for dialect in ("penstock", "plain"):
        possible = [version for version in VERSIONS if (version, dialect) in every]
        present = [version for version in possible if (version, dialect) in found]
        by_dialect[dialect] = "all" if present == possible else ", ".join(NAMES[version] for version in present)
    penstock, plain = by_dialect.values()
    if penstock == plain:
        return penstock
    named = [name if text == "all" else f"{name} {text}" for name, text in by_dialect.items() if text]
    return "; ".join(named)


def _layout(msg_type: str) -> Layout:
    return next(
        layouts[msg_type] for version in reversed(VERSIONS) if msg_type in (layouts := for_version(version).messages)
    )


def _title(msg_type: str) -> str:
    return f"{_layout(msg_type).name}({msg_type})"


def _messages() -> Iterator[tuple[str, ...]]:
    ours = {message.msg_type for message in REPORTS}
    for message in (*SESSION, *REQUESTS, *REPORTS):
        kind = message.msg_type
        sender = "both" if kind in SESSION_MSG_TYPES else "us" if kind in ours else "you"
        where = _where(pair for pair in _SESSIONS if has(*pair, kind))
        yield f"`{kind}`", f"[{_layout(kind).name}](#{_anchor(kind)})", sender, where
    read = ", ".join(
        _title(kind) for kind in sorted(CLIENT_MSG_TYPES - SESSION_MSG_TYPES - {r.msg_type for r in REQUESTS})
    )
    yield "", f"{read}: read and ignored", "you", "all"


def _anchor(msg_type: str) -> str:
    return "".join(char for char in _title(msg_type).lower() if char.isalnum())


def _row(use: Use, where: str) -> tuple[object, ...]:
    field = _field(use.tag)
    return use.tag, field.name, field.type, use.need, where, use.note or _listed(field)


def _listed(field: Field) -> str:
    """The meanings of a field's values where there is nothing else to say and they are few."""
    meanings = MEANINGS.get(field.number, {})
    return (
        ", ".join(f"{value} {meaning}" for value, meaning in meanings.items())
        if len(meanings) <= 5
        else "[values](#values)"
    )


def _header_rows() -> Iterator[tuple[object, ...]]:
    for use in (*HEADER, Use(10, "yes", "last; three digits")):
        present = [
            (version, dialect)
            for version, dialect in _SESSIONS
            if use.tag in {*for_version(version).header.members, *for_version(version).trailer.members}
        ]
        yield _row(use, _where(present))


def _sections(messages: tuple[Spoken, ...]) -> str:
    return "".join(
        f"### {_title(each.msg_type)}\n\n{each.about}\n\n{table(_HEAD, _use_rows(each))}\n" for each in messages
    )


def _use_rows(message: Spoken) -> Iterator[tuple[object, ...]]:
    kind = message.msg_type
    universe = [pair for pair in _SESSIONS if has(*pair, kind)]
    for use in message.uses:
        yield _row(use, _where([pair for pair in universe if is_used(*pair, kind, use)], universe))


def _refused_rows() -> Iterator[tuple[object, ...]]:
    for tag, value in NOT_HONOURED.items():
        if tag in for_version(_NEWEST).fields:
            yield tag, _field(tag).name, f"`{value}`" if value else "never"


def _group_rows() -> Iterator[tuple[object, ...]]:
    for count, members in GROUPS.items():
        for use in members:
            field = _field(use.tag)
            yield _field(count).label, use.tag, field.name, field.type, use.need, use.note or _listed(field)


def _value_rows() -> Iterator[tuple[object, ...]]:
    for tag, meanings in sorted(MEANINGS.items()):
        if tag != 373:
            yield tag, _field(tag).name, "; ".join(f"`{value}` {meaning}" for value, meaning in meanings.items())


def _reason_rows() -> Iterator[tuple[object, ...]]:
    for name, value in constants_of(SessionRejectReason).items():
        yield value, _code_beside(value), name.replace("_", " ").lower(), WHEN_REJECTED[value]


def _code_beside(reason: int) -> str:
    """ErrorCode(25016) of a Reject(3) with this reason."""
    settings = SessionSettings(begin_string=_NEWEST, sender_comp_id="GATE", target_comp_id="YOU")
    body = reject_body(settings, 2, "D", Fault("reject", reason, 11, ""), {})
    return body.partition("25016=")[2].partition(SOH)[0]


def _fallback_rows() -> Iterator[tuple[object, ...]]:
    dialects = [Dialect(version, "plain") for version in VERSIONS]
    yield "OrdRejReason(103)", *(each.ord_rej_reason(0) for each in dialects)
    yield "CxlRejReason(102)", *(each.cxl_rej_reason(0) for each in dialects)
    yield "BusinessRejectReason(380)", *(each.business_reject_reason(0) for each in dialects)


def _unused() -> str:
    """Per request, what each version adds to the one before."""
    parts = []
    for message in REQUESTS:
        seen = {use.tag for use in message.uses} | NOT_HONOURED.keys()
        lines: list[str] = []
        for version in VERSIONS:
            layout = for_version(version).messages.get(message.msg_type)
            more = set(layout.members) - seen if layout else set()
            if more:
                lines.append(f"- {'and ' if lines else ''}{NAMES[version]}: {_runs(more)}\n")
                seen |= more
        if lines:
            parts.append(f"{_title(message.msg_type)}:\n\n{''.join(lines)}\n")
    return "".join(parts)


def _runs(numbers: set[int]) -> str:
    """`1-3, 7` for 1, 2, 3 and 7."""
    parts: list[str] = []
    first = last = -1
    for number in [*sorted(numbers), -1]:
        if number != last + 1:
            if last > 0:
                parts.append(str(first) if first == last else f"{first}-{last}")
            first = number
        last = number
    return ", ".join(parts)
