"""What kill9 calls a violation: each rule with a conversation that keeps it and one that does not."""

from tests.faults.kill9.check import Dealings, Heard, Message, Progress, Report, Violations, judge_trades, parse
from tests.faults.kill9.store import Plan, overspent
from tests.support.fix_text import fix

LOGON = "35=A|34=1|49=GATE|52=20261122-12:00:00.000001|56=MM1|98=0|108=30"
REPORT = "35=8|34=2|49=GATE|52=20261122-12:00:00.000002|56=MM1|37=1|17=11|11=o-1"
AGAIN = "35=8|34=2|43=Y|49=GATE|52=20261122-12:00:09.000000|56=MM1|122=20261122-12:00:00.000002|37=1|17=11|11=o-1"


def message(line: str) -> Message:
    return parse(fix(line))


def gap_fill(begin: int, end: int, poss_dup: str = "43=Y|") -> str:
    times = "52=20261122-12:00:09.000000|56=MM1|122=20261122-12:00:09.000000"
    return f"35=4|34={begin}|{poss_dup}49=GATE|{times}|36={end}|123=Y"


def hear(*connections: tuple[str, ...]) -> tuple[list[str], Heard, list[int]]:
    """Violations, the record, and the numbers taken in turn, when these lines come over these connections."""
    violations = Violations()
    heard = Heard("MM1", violations)
    taken: list[int] = []
    for lines in connections:
        heard.connected()
        for line in lines:
            heard.take(message(line))
            taken += [each.number for each in heard.in_turn()]
    return violations.texts, heard, taken


def numbered(line: str, number: int) -> str:
    return line.replace("|34=1|", f"|34={number}|").replace("|34=2|", f"|34={number}|")


def test_a_conversation_with_a_gap_that_is_resent_keeps_every_rule() -> None:
    texts, heard, taken = hear(
        (LOGON, REPORT),
        (numbered(LOGON, 5), numbered(AGAIN, 3), gap_fill(4, 5), numbered(REPORT, 6)),
    )
    assert texts == []
    assert taken == [1, 2, 3, 5, 6]
    assert (heard.recovered, heard.has_gap) == (1, False)


def test_what_comes_early_waits_for_its_turn_and_leaves_a_gap() -> None:
    texts, heard, taken = hear((LOGON,), (numbered(LOGON, 3),))
    assert texts == []
    assert (taken, heard.next_in, heard.has_gap) == ([1], 2, True)


def test_a_number_used_twice_without_poss_dup_is_a_violation() -> None:
    texts, _, _ = hear((LOGON, REPORT), (numbered(LOGON, 2),))
    assert "MsgSeqNum(34)=2 was sent a second time without PossDupFlag(43)=Y" in texts[0]


def test_a_number_lower_than_one_sent_before_is_a_violation_though_nobody_saw_it() -> None:
    texts, _, _ = hear((LOGON,), (numbered(LOGON, 9),), (numbered(LOGON, 7),))
    assert texts == ["MM1: MsgSeqNum(34) went back to 7 behind 9"]


def test_a_number_left_out_within_a_connection_is_a_violation() -> None:
    texts, _, _ = hear((LOGON, numbered(REPORT, 3)))
    assert texts == ["MM1: MsgSeqNum(34)=3 follows 1"]


def test_a_resend_with_other_bytes_is_a_violation() -> None:
    texts, _, _ = hear((LOGON, REPORT, AGAIN.replace("37=1|", "37=2|")))
    assert "MsgSeqNum(34)=2 has two contents" in texts[0]


def test_a_resend_that_lies_about_its_first_time_is_a_violation() -> None:
    texts, _, _ = hear((LOGON, REPORT, AGAIN.replace("122=20261122-12:00:00.000002", "122=20261122-12:00:00.000003")))
    assert "says OrigSendingTime(122)=20261122-12:00:00.000003" in texts[0]
    texts, _, _ = hear((LOGON, REPORT, AGAIN.replace("122=20261122-12:00:00.000002|", "")))
    assert "has OrigSendingTime(122)=" in texts[0]


def test_a_message_that_is_filled_over_later_is_a_violation_and_so_is_the_reverse() -> None:
    texts, _, _ = hear((LOGON, REPORT, gap_fill(2, 3)))
    assert "is filled over now" in texts[0]
    texts, _, _ = hear((LOGON,), (numbered(LOGON, 3), gap_fill(2, 3), AGAIN))
    assert "has two contents" in texts[0]


def test_a_gap_fill_beyond_what_was_sent_and_a_session_message_sent_again_are_violations() -> None:
    texts, _, _ = hear((LOGON, gap_fill(1, 9)))
    assert texts == ["MM1: gap fill from 1 to 9, the highest number sent is 1"]
    texts, _, _ = hear((LOGON, numbered(AGAIN.replace("35=8", "35=0"), 1)))
    assert "a session message, was sent again" in texts[0]


def test_a_possible_duplicate_of_nothing_is_a_violation() -> None:
    texts, _, _ = hear((LOGON, numbered(AGAIN, 7)))
    assert texts == ["MM1: MsgSeqNum(34)=7 is a possible duplicate of nothing sent before"]


def test_what_the_gateway_expects_may_not_fall_below_what_it_answered_nor_pass_what_was_sent() -> None:
    violations = Violations()
    progress = Progress("MM1", violations)
    progress.sent = 10
    progress.shows(4)
    progress.expects(5)
    progress.expects(11)
    assert violations.texts == []
    progress.expects(10)
    progress.shows(11)
    assert violations.texts == [
        "MM1: NextIn went back: 10 is expected, 10 was dealt with",
        "MM1: the gateway has read 11, the client has sent 10",
    ]


def test_what_was_only_read_may_be_asked_for_again_and_what_was_dealt_with_may_not() -> None:
    violations = Violations()
    progress = Progress("MM1", violations)
    progress.sent = 10
    progress.shows(4)
    progress.sees(9)
    progress.expects(6)
    assert (violations.texts, progress.waited, progress.read) == ([], 1, 5)
    progress.expects(5)
    assert violations.texts == ["MM1: NextIn went back: 5 is expected, 5 was dealt with"]


def test_a_bucket_is_overspent_by_one_token_more_than_its_burst_and_what_came_in() -> None:
    plan, second_ns = Plan(rate=10, burst=5), 1_000_000_000
    at_once, later = [0] * 5, [second_ns + n * second_ns // 10 for n in range(1, 6)]
    assert overspent([*later, *at_once], plan, 5) <= 0
    assert overspent([*at_once, 0], plan, 5) == 1
    assert overspent([*at_once, *[second_ns // 2] * 6], plan, 5) == 1
    dealings = Dealings("MM1", Violations())
    for each in (report("0", "1"), report("5", "2"), report("8", "3"), report("F", "4", trade=("1", "1", "1"))):
        dealings.report(each)
    assert len(dealings.spent_ns) == 2


def report(execution: str, exec_id: str, cl_ord_id: str = "o-1", leaves: str = "1.0", **more: object) -> Report:
    return Report(execution, exec_id, "77", cl_ord_id, "0.0", leaves, **more)  # type: ignore[arg-type]


def dealt(*reports: Report, ask: tuple[str, ...] = ("o-1",)) -> tuple[Dealings, Violations]:
    violations = Violations()
    dealings = Dealings("MM1", violations)
    for number, cl_ord_id in enumerate(ask, 1):
        dealings.ask(cl_ord_id, "D", number)
    for each in reports:
        dealings.report(each)
    return dealings, violations


def test_an_order_accepted_twice_and_a_report_told_twice_are_violations() -> None:
    _, violations = dealt(report("0", "1"), report("0", "2"))
    assert "MM1: order o-1 was accepted twice" in violations.texts
    _, violations = dealt(report("0", "1"), report("F", "1", trade=("9", "1", "1"), side="1"))
    assert violations.texts == ["MM1: ExecID(17)=1 was told twice"]


def test_at_the_end_every_request_is_answered_and_both_books_agree() -> None:
    dealings, violations = dealt(report("0", "1"))
    dealings.listed = {"77": ("o-1", "0.0", "1.0")}
    dealings.judge_core(read=1)
    assert violations.texts == []


def test_a_request_without_an_answer_is_a_violation_if_the_gateway_has_read_it() -> None:
    dealings, violations = dealt(ask=("o-1", "o-2"))
    dealings.listed = {}
    dealings.judge_core(read=1)
    assert ["o-1" in text for text in violations.texts] == [True]


def test_an_order_that_only_one_side_knows_or_that_differs_is_a_violation() -> None:
    for listed in ({}, {"77": ("o-1", "0.5", "0.5")}, {"77": ("o-1", "0.0", "1.0"), "78": ("o-9", "0.0", "1.0")}):
        dealings, violations = dealt(report("0", "1"))
        dealings.listed = dict(listed)
        dealings.judge_core(read=1)
        assert len(violations.texts) == 1, listed


def test_a_trade_told_to_one_side_or_twice_to_one_is_a_violation() -> None:
    bought = report("F", "1", trade=("9", "64250.00", "0.5"), side="1")
    sold = report("F", "2", trade=("9", "64250.00", "0.5"), side="2")
    for reports, found in (
        ((bought, sold), 0),
        ((bought,), 1),
        ((bought, sold, report("F", "3", trade=sold.trade, side="2")), 1),
    ):
        dealings, violations = dealt(*reports)
        judge_trades([dealings], violations)
        assert len(violations.texts) == found, violations.texts
