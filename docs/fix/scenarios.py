"""The scenarios of the FIX session layer, each with the tests that prove it: the page docs/reference/fix-scenarios.md.

The ids are those of the FIX Trading Community's session-layer test cases (ISO 3531-3); the words are ours. A row names
its tests by the beginning of their names. They are looked up in the test files, and a test of the page fails when a row
has none and does not say why.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs.fix.markdown import table
from docs.fix.words import NAMES


class Scenario(NamedTuple):
    """One row. id: `-` where the community has none. need: M mandatory, O optional.

    proofs: beginnings of test names, without `test_`; () = made from the id. versions: () = all.
    open: why no test proves it.
    """

    id: str
    need: str
    stimulus: str
    response: str
    proofs: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    open: str = ""

    @property
    def begins(self) -> tuple[str, ...]:
        """The beginnings of the names of its tests."""
        names = self.proofs or (f"{self.id.replace('.', '_')}_",)
        return tuple(f"test_{name}" for name in names)


_AFTER_42 = ("FIX.4.4", "FIXT.1.1")

SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "Logon": (
        Scenario(
            "1S.a", "M", "a Logon with the expected number", "Logon with the same HeartBtInt(108) and 98=0",
            ("1S_a_a_valid_logon", "1S_a_leading_zeros", "1S_a_the_penstock_dialect"),
        ),
        Scenario(
            "1S.a", "M", "a Logon numbered too high", "Logon first, then a ResendRequest for the gap",
            ("1S_a_a_logon_numbered_too_high",),
        ),
        Scenario(
            "1S.a", "M", "141=Y with 34=1, at the start or in a running session",
            "both sides start again: Logon with 141=Y and 34=1, the next number is 2",
            ("1S_a_reset_seq_num_flag", "1S_a_a_reset_in_mid", "1S_a_reset_with_another", "a_stock_engine_that_resets"),
        ),
        Scenario(
            "1S.a", "M", "any Logon of a session that resets at each (`reset_on_logon`)",
            "the same, shown by 141=Y; a peer may confirm with a Logon numbered 1, or start at 1 with its next message",
            ("1S_a_reset_on_logon", "1S_a_where_the_peer_resets", "a_stock_engine_that_keeps_its_numbers_is_told"),
        ),
        Scenario(
            "1S.b", "M", "a second Logon of a connected session",
            "`on_duplicate = reject`: the second is closed, the first stays; `takeover`: the new one wins if it is "
            "proven and its Logon would be accepted",
        ),
        Scenario(
            "1S.c", "M", "unknown SenderCompID, wrong TargetCompID, failed authentication, wrong source",
            "closed without an answer, and no number is used",
        ),
        Scenario(
            "1S.d", "M", "a known session with a Logon that cannot be served (time far off, HeartBtInt, 1137)",
            "Logout with the reason, then closed",
            ("1S_d_sending_time", "1S_d_a_sending_time", "1S_d_heart_bt_int", "1S_d_fixt_needs",
             "1S_d_a_field_that_the_dictionary", "1S_d_a_refused_logon"),
        ),
        Scenario(
            "1S.d", "M", "a first message that is garbled or of another BeginString", "closed at once",
            ("1S_d_a_garbled_first", "1S_d_a_logon_of_another_version", "1_d_a_first_message"),
        ),
        Scenario("2S", "M", "a first message that is not a Logon", "closed without an answer"),
    ),
    "Standard header": (
        Scenario("2.a", "M", "the expected MsgSeqNum", "accepted; the next number is expected"),
        Scenario(
            "2.b", "M", "MsgSeqNum too high",
            "one ResendRequest per gap; the early message is held until the gap has closed",
            ("2_b_msg_seq_num_too_high", "2_b_a_second_gap", "2_b_the_held"),
        ),
        Scenario(
            "2.b", "M", "the gap does not close: nothing comes, it is garbled again, it is rejected",
            "requested again after 2 x HeartBtInt; Logout after the third request; a TestRequest after the gap is"
            " answered, and cancels are carried out before the Logout",
            ("2_b_a_gap_is_asked", "2_b_a_message_that_is_garbled", "2_b_a_gap_that_goes_on", "2_b_a_request_that",
             "2_b_a_test_request", "2_b_cancels", "2_b_a_pause", "2_b_what_came", "2_b_the_penstock"),
        ),
        Scenario(
            "2.c", "M", "MsgSeqNum too low, no PossDupFlag", "Logout with both numbers, then closed at once",
        ),
        Scenario("2.d", "M", "a garbled message", "ignored; the next valid message shows the gap"),
        Scenario("2.e", "M", "PossDup, number already received", "dropped silently", ("2_e_poss_dup_already",)),
        Scenario("2.e", "M", "PossDup, number not yet received", "processed as usual", ("2_e_poss_dup_not",)),
        Scenario("2.f", "M", "OrigSendingTime later than SendingTime", "Reject 373=10, then Logout"),
        Scenario("2.g", "M", "PossDup without OrigSendingTime", "Reject 373=1 371=122"),
        Scenario(
            "2.h/j/l/n/p/s", "M", "BeginString, CompIDs, BodyLength, SendingTime, MsgType, first fields: correct",
            "accepted", ("2_a_", "2_n_", "15_"),
        ),
        Scenario("2.i", "M", "a BeginString other than the session's", "Logout, then closed"),
        Scenario("2.k", "M", "SenderCompID or TargetCompID is not the session's", "Reject 373=9, then Logout"),
        Scenario("2.m", "M", "wrong BodyLength", "ignored; if it is too long, what it spans is lost, too"),
        Scenario("2.o", "M", "SendingTime is more than 120 s (configurable) off", "Reject 373=10, then Logout"),
        Scenario("2.q", "M", "a MsgType that the standard does not know", "Reject 373=11"),
        Scenario("2.r", "M", "a MsgType that is legal but not served", "BusinessMessageReject 380=3"),
        Scenario("2.t", "M", "8, 9 and 35 are not the first three fields", "ignored"),
        Scenario(
            "-", "M", "MsgSeqNum is missing", "Logout, then closed: nothing can be numbered", ("a_missing_msg_seq_num",)
        ),
    ),
    "Trailer": (
        Scenario("3.a/d", "M", "the correct CheckSum, last, three digits", "accepted", ("2_a_",)),
        Scenario("3.b", "M", "wrong CheckSum", "ignored"),
        Scenario("3.c", "M", "a tag that is not a number", "ignored"),
        Scenario("3.e", "M", "CheckSum is not last, or not three digits", "ignored", ("3_b_and_3_e_", "3_e_")),
    ),
    "Keeping the session alive": (
        Scenario("4.a", "M", "we sent nothing for HeartBtInt", "Heartbeat without TestReqID"),
        Scenario("4.b", "M", "TestRequest", "Heartbeat with its TestReqID"),
        Scenario("5", "M", "Heartbeat", "accepted"),
        Scenario(
            "6", "M", "silence of 1.2 x HeartBtInt",
            "TestRequest; a Heartbeat in answer ends it; after another such time Logout, then closed",
        ),
        Scenario("7", "M", "Reject", "accepted, and never rejected"),
    ),
    "Recovery": (
        Scenario("8", "M", "ResendRequest over session messages", "one gap fill", ("8_only_session",)),
        Scenario(
            "8", "M", "ResendRequest over application messages",
            "each is sent again with its number and body, 43=Y and 122", ("8_only_application", "8_a_single"),
        ),
        Scenario(
            "8", "M", "ResendRequest over a mix, 16=0 or beyond the latest",
            "application messages are sent again, one gap fill for each run between them, nothing beyond the range",
            ("8_a_mix", "8_never_beyond", "8_messages_that_the_store", "8_a_resend_may"),
        ),
        Scenario(
            "8", "M", "ResendRequest over a Reject",
            "sent again like an application message: it may be the only answer to an order", ("8_a_reject",),
        ),
        Scenario(
            "8", "M", "many ResendRequests at once, in pieces or number by number",
            "everything is sent, each number once",
            ("a_range_that_is_asked_for_in_pieces", "pieces_that_are", "numbers_far_apart"),
        ),
        Scenario("9", "O", "the state of a session is lost", "141=Y, or a SequenceReset upwards"),
        Scenario("10.a", "M", "gap fill numbered too high", "ResendRequest from the expected number"),
        Scenario("10.b", "M", "gap fill in sequence", "the number in it is expected next"),
        Scenario("10.c", "M", "gap fill with an old number, 43=Y", "dropped silently"),
        Scenario("10.d", "M", "gap fill with an old number, no 43", "as 2.c"),
        Scenario("10.e", "M", "gap fill that would lower the expected number", "Reject"),
        Scenario("11.a", "M", "hard reset upwards", "its own number is ignored; the number in it is expected next"),
        Scenario("11.b", "M", "hard reset to the expected number", "accepted, with a warning"),
        Scenario("11.c", "M", "hard reset downwards", "Reject 373=5 371=36; nothing changes"),
        Scenario("19.a", "M", "PossResend, known ClOrdID", "not carried out again: the order's state is reported"),
        Scenario("19.b", "M", "PossResend, new ClOrdID", "an order like any other"),
        Scenario("20", "M", "ResendRequest while ours is unanswered", "served at once; our gap stays open"),
        Scenario(
            "-", "M", "a resent message is itself invalid",
            "Reject as usual; the messages held after it follow in order",
            ("a_resent_message_that_is_itself_bad",),
        ),
        Scenario(
            "16.a/b", "M", "fills while the client is away",
            "numbered and stored; sent with 43=Y on its ResendRequest",
            ("16_", "a_stock_engine_that_keeps_its_numbers"),
        ),
    ),
    "Logout": (
        Scenario("12", "M", "we end the session", "Logout, then a wait for the answer, then closed"),
        Scenario("13.a", "M", "the answer to our Logout", "closed; nothing is sent", ("13_a_", "12_our_logout_waits")),
        Scenario(
            "13.b", "M", "Logout",
            "Logout in answer, after the answers to earlier messages and after a running resend; then closed",
            ("13_b_logout_from", "13_b_the_penstock"),
        ),
        Scenario(
            "-", "M", "Logout numbered too high",
            "answered without requesting the gap; cancels after it are carried out, and the Logout says what was not",
            ("13_b_a_logout_numbered_too_high", "13_b_a_logout_with_an_old", "2_b_a_logout_over"),
        ),
    ),
    "Fields": (
        Scenario("14.a", "M", "a tag that the version does not have", "Reject 373=0"),
        Scenario("14.b", "M", "a required field is missing", "Reject 373=1"),
        Scenario("14.c", "M", "a known tag in the wrong message", "Reject 373=2"),
        Scenario("14.d", "M", "a tag without a value", "Reject 373=4"),
        Scenario("14.e", "M", "a value outside the enumeration", "Reject 373=5"),
        Scenario("14.f", "M", "a value of the wrong type", "Reject 373=6"),
        Scenario("14.g", "M", "header, body and trailer fields mixed up", "Reject 373=14"),
        Scenario("14.h", "M", "a tag twice outside a group", "Reject 373=13"),
        Scenario("14.i", "M", "a group's count does not match", "Reject 373=16"),
        Scenario("14.j", "M", "a group's fields are out of order", "Reject 373=15"),
        Scenario("14.k", "M", "SOH inside a field", "ignored as garbled"),
        Scenario(
            "14.l", "O", "the matching core is away",
            "refused with its own report, code 5002; BusinessMessageReject 380=4 where no report exists",
        ),
        Scenario(
            "14.m", "M", "a limit order without a price",
            "refused with its own report, code 2002; BusinessMessageReject 380=5 where no report exists",
        ),
        Scenario("14.n, 17", "O", "EncryptMethod other than 0", "Reject 373=7, then Logout", ("14_n_",)),
        Scenario("15", "O", "fields in another order inside header and body", "accepted"),
        Scenario("18", "O", "third-party addressing", "Reject 373=9"),
        Scenario(
            "-", "O", "a rejected message has OnBehalfOf or DeliverTo fields",
            "the Reject has them reversed; empty ones are rejected themselves",
            ("a_reject_carries_the_routing_reversed", "empty_routing"),
        ),
        Scenario("-", "O", "a group without entries", "accepted", ("21_",)),
    ),
    "Beyond the list": (
        Scenario("-", "O", "three garbled messages in a row", "closed", ("three_garbled_messages",)),
        Scenario(
            "-", "O", "no Logon in time, or one for another session", "closed without an answer",
            ("a_logon_that_does_not_come", "a_logon_of_somebody_else"),
        ),
        Scenario(
            "-", "M", "a second Logon on the same connection, without 141=Y", "Reject",
            ("a_logon_in_a_running_session",),
        ),
        Scenario(
            "789", "O", "NextExpectedMsgSeqNum in a Logon",
            "a replay right after our Logon; if it is above what we sent: Logout", (), _AFTER_42,
        ),
        Scenario("369", "O", "LastMsgSeqNumProcessed is switched on", "it is in every message that we send", ("369_",)),
        Scenario(
            "-", "O", "a large gap", "requested in chunks", ("a_large_gap", "a_peer_that_fills_a_chunk", "chunks_of_0"),
        ),
        Scenario("-", "O", "SendingTime in seconds, ms, us or ns", "accepted", ("2_n_sending_time_in_range",)),
    ),
}  # fmt: skip
"""Section -> its rows."""


class Proof(NamedTuple):
    """One test function. file: relative to the checkout."""

    name: str
    file: str


def tests_of(root: Path) -> list[Proof]:
    """Every test that may prove a row: those of FIX, of the gateway, and end to end."""
    found: list[Proof] = []
    for folder in ("tests/protocols/fix", "tests/gateway", "tests/e2e"):
        for path in sorted((root / folder).rglob("test_*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    found.append(Proof(node.name, path.relative_to(root).as_posix()))
    return found


def proofs_of(row: Scenario, tests: list[Proof]) -> list[Proof]:
    """The tests that prove a row; [] = none."""
    return [test for test in tests if test.name.startswith(row.begins)]


def unproven(root: Path) -> list[str]:
    """The rows without a test and a reason, and those with both."""
    tests = tests_of(root)
    rows = [row for section in SCENARIOS.values() for row in section]
    return [f"{row.id}: {row.stimulus}" for row in rows if bool(proofs_of(row, tests)) is bool(row.open)]


def scenario_page(root: Path) -> str:
    """The page. root: the checkout with the tests."""
    tests = tests_of(root)
    parts = [
        f"## {title}\n\n{table(('Id', 'M/O', 'When', 'Then', 'Versions', 'Proven by'), _rows(rows, tests))}\n"
        for title, rows in SCENARIOS.items()
    ]
    return f"""# FIX scenarios

What the acceptor does in each situation of the session layer, and the tests that prove it. The ids are those of the FIX
Trading Community's session-layer test cases (v1.0, ISO 3531-3), where you can look them up. M is mandatory, O optional.
If the reason of a Reject is newer than FIX.4.2, a session of that version gets it in Text(58).

{"".join(parts)}"""


def _rows(rows: tuple[Scenario, ...], tests: list[Proof]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        versions = ", ".join(NAMES[version] for version in row.versions) or "all"
        proofs = "<br>".join(f"[{name.removeprefix('test_')}](../../{file})" for name, file in proofs_of(row, tests))
        yield row.id, row.need, row.stimulus, row.response, versions, proofs or f"*nothing yet*: {row.open}"
