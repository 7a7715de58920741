"""Mistakes in the examination of a core: a promise that is judged too kindly, a venue that is traded on unasked."""

from tests.mutants.plant import mutants

_DIALOGUES = ("tests/gateway/remote/conform/test_dialogues.py",)
_EXAMINE = ("tests/gateway/remote/conform/test_examine.py",)
_GOLDEN = ("tests/gateway/remote/test_golden_files.py",)

MUTANTS = (
    *mutants(
        "gateway/remote/conform/dialogues.py",
        _DIALOGUES,
        ("a second answer is not counted", "demand(len(caused) == 1, f", "demand(bool(caused), f"),
        ("a number that is left out is not missed", "demand(found == wanted, f", "demand(bool(found), f"),
        ("a window of other commands is not waited for", "for _ in range(_WINDOW)))", "for _ in range(1)))"),
    ),
    *mutants(
        "gateway/remote/conform/gateways.py",
        _DIALOGUES,
        ("the other gateway's events are not compared", "events == wanted,", "bool(wanted),"),
        ("an order that is late may be placed", "bool(caused) and caused[0].code == code,", "bool(caused),"),
    ),
    *mutants(
        "gateway/remote/conform/replaces.py",
        _DIALOGUES,
        ("the terms of a replaced order are not compared", "demand(seen == wanted, f", "demand(True, f"),
        ("a replace at a price that is reached need not trade", "demand(bool(mine and theirs), ", "demand(True, "),
    ),
    *mutants(
        "gateway/remote/conform/restarts.py",
        _DIALOGUES,
        ("an entry that was skipped is not missed", "not skipped,", "True,"),
        ("the turn of equal orders is not looked at", "demand(first == second, f", "demand(bool(second), f"),
        ("another id after the restart is the same order", "demand(was == now, f", "demand(True, f"),
    ),
    *mutants(
        "gateway/remote/conform/examine.py",
        _EXAMINE,
        ("a venue that gateways use is examined", "    if not terms.may_join:\n", "    if False:\n"),
        ("a restart that killed nothing counts", "        await talk.see_that_it_was_killed()\n", ""),
        ("two promises share an account", "terms.first_account + 2 * number", "terms.first_account + number"),
    ),
    *mutants(
        "gateway/remote/conform/dialogue.py",
        _EXAMINE,
        (
            "what is placed stays open",
            "        for party in (self.buyer, self.seller):\n            await self.write(party.mass_cancel())\n",
            "",
        ),
    ),
    *mutants(
        "gateway/remote/conform/verdict.py",
        _EXAMINE,
        ("what could not be tested is no failure", "and self.why != WITHOUT_RESTART", "and False"),
    ),
    *mutants(
        "gateway/remote/wire.py",
        _GOLDEN,
        (
            "a number of 64 bits is a number in JSON",
            "            told[field.name] = str(value)\n",
            "            told[field.name] = value\n",
        ),
    ),
)
