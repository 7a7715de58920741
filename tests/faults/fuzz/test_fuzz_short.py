"""The fuzzer in short: a few seconds of both doors under attack, and proof that it sees a gateway misbehave.

The long form is `python -m tests.faults.fuzz`; it also judges latency, which a busy machine would blur here.
"""

import contextlib
import io
import itertools
import time
from pathlib import Path

import pytest

from tests.faults.fuzz.attack import DOORS, KINDS, MIXED, Wave, plan
from tests.faults.fuzz.owed import Debt, FixOwed, GetsIn, TlsReplies, Unheard, owe
from tests.faults.fuzz.replies import FixReplies, WsReplies
from tests.faults.fuzz.report import Report, WaveResult, judge_latency
from tests.faults.fuzz.run import fuzz
from tests.faults.fuzz.venue import Settings, kinds_of, waves
from tests.faults.fuzz.watch import Latencies, LogReader, Violations
from tests.faults.fuzz.wire import BadReply, Tally, cut_up
from tests.support.fix_text import fix
from tests.support.ws_frames import frame, text

PORTS = {"fix": 1, "ws": 2, "tls": 3, "admin": 4}
SABOTAGE = """
import sys, time

def spoil():
    from gateway.doors.fix.pre_logon import PreLogonPeer
    received, naps = PreLogonPeer.receive, [1.0]
    def receive(self, data, now_ns):
        if data[:2] != b"8=":
            time.sleep(naps.pop() if naps else 0)
            raise ZeroDivisionError("planted")
        received(self, data, now_ns)
    PreLogonPeer.receive = receive

if "gateway.cli" in " ".join(sys.orig_argv):
    spoil()
"""


async def test_a_mixed_crowd_at_both_doors_harms_nobody(tmp_path: Path) -> None:
    report = await fuzz(Settings(5.0, 20_261_122, ("fix", "ws"), wave_s=1.25, kinds=(MIXED,)), tmp_path)
    assert not report.violations.count, [sort.first for sort in report.violations.sorts.values()]
    whole = report.tally()
    assert {result.wave.door for result in report.waves} == {"fix", "ws"}
    assert whole.attackers > 12  # more than come at a time
    assert whole.replies > 500
    assert all(report.quiet[name].seconds for name in ("healthy-fix", "healthy-ws"))
    assert all(report.under_attack(name, by_crowds=True).seconds for name in report.quiet)


async def test_strangers_at_every_port_keep_nobody_out(tmp_path: Path) -> None:
    kinds = ("crowd", "foreign_keys", "names", "proxy_broken")
    report = await fuzz(Settings(4.0, 7, wave_s=0.5, kinds=kinds), tmp_path)
    assert not report.violations.count, [sort.first for sort in report.violations.sorts.values()]
    assert {result.wave.kind for result in report.waves} >= {"crowd", "foreign_keys"}
    assert report.tally().attackers > 300


async def test_a_gateway_that_hangs_and_stumbles_over_garbage_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    garbage = next(n for n, wave in enumerate(waves(Settings(99.0, 1, ("fix",)), PORTS)) if wave.kind == "garbage")
    report = await fuzz(Settings(2.5, 1, ("fix",), only_wave=garbage, patience_s=0.5), tmp_path)
    found = " ".join(sort.first for sort in report.violations.sorts.values())
    assert "ZeroDivisionError: planted" in found
    assert "healthy-ws: no answer in 0.5 s" in found


# -- the attackers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("door", "kind"), [(door, kind) for door in DOORS for kind in (*kinds_of(door), MIXED)])
def test_an_attack_is_made_again_from_its_seed_wave_and_number(
    door: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_348_800_000_000_000)
    wave = Wave(7, 3, door, kind, 4, 1.0, 1)  # type: ignore[arg-type]

    def bytes_of(index: int) -> bytes:
        return b"".join(itertools.islice(plan(wave, index).chunks, 5))

    assert [bytes_of(n) for n in range(2)] == [bytes_of(n) for n in range(2)]


def test_attackers_of_one_wave_differ() -> None:
    wave = Wave(7, 0, "fix", "garbage", 4, 1.0, 1)
    assert len({b"".join(plan(wave, index).chunks) for index in range(40)}) > 15


def test_a_run_meets_every_attack_before_it_begins_again() -> None:
    kinds = sum(map(len, KINDS.values()))
    planned = [wave for wave in waves(Settings(1.5 * kinds * 1.5, 5), PORTS) if wave.kind != MIXED]
    assert len({(wave.door, wave.kind) for wave in planned[:kinds]}) == kinds


# -- what judges the replies -------------------------------------------------------------------------------------------

LOGON = fix("35=A|34=1|49=GATE|56=M1|98=0|108=30|")
REPORT = fix("35=8|34=2|49=GATE|52=20261122-12:00:00|56=M1|37=1|")
AGAIN = fix("35=8|34=2|43=Y|49=GATE|52=20261122-12:00:09|56=M1|122=20261122-12:00:00|37=1|")


def test_a_good_fix_conversation_passes_however_it_is_cut() -> None:
    import random

    whole = LOGON + REPORT + AGAIN + fix("35=4|34=3|49=GATE|56=M1|36=9|123=Y|") + fix("35=0|34=9|49=GATE|56=M1|")
    for seed in range(50):
        replies = FixReplies()
        for piece in cut_up(whole, random.Random(seed)):
            replies.feed(piece)
        assert replies.count == 5


@pytest.mark.parametrize(
    "wrong",
    [
        LOGON.replace(b"108=30", b"108=31"),
        LOGON.replace(b"9=3", b"9=2"),
        fix("35=0|34=3|49=GATE|56=M1|"),
        fix("35=0|34=2|49=GATE|56=M1|58=|"),
        REPORT + AGAIN.replace(b"37=1", b"37=2").replace(b"10=", b"10="),
        REPORT + fix("35=8|34=2|43=Y|49=GATE|56=M1|122=20261122-12:00:00|37=2|"),
        b"HTTP/1.1 400 Bad Request\r\n\r\nthis is no FIX",
    ],
)
def test_a_fix_reply_that_breaks_a_rule_is_found(wrong: bytes) -> None:
    replies = FixReplies()
    replies.feed(LOGON)
    with pytest.raises(BadReply):
        replies.feed(wrong)


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
ANSWER = '{"id":1,"status":200,"result":{}}'


def served(payload: str) -> bytes:
    return text(payload, key=None)


def test_a_good_websocket_conversation_passes_byte_by_byte() -> None:
    replies = WsReplies()
    whole = UPGRADED + served(ANSWER) + served('{"ev":"order","seq":4}') + frame(0x9, b"", key=None)
    whole += served('{"ev":"order","seq":5,"pad":"' + "x" * 70_000 + '"}') + frame(0x8, b"\x03\xe8", key=None)
    for at in range(len(whole)):
        replies.feed(whole[at : at + 1])
    assert replies.count == 6


@pytest.mark.parametrize(
    "wrong",
    [
        text(ANSWER),
        served("{"),
        served('{"id":1,"status":200}'),
        served('{"id":1,"status":200,"result":{},"error":{}}'),
        served('{"ev":"order","seq":2}') + served('{"ev":"order","seq":2}'),
        frame(0x8, b"\x03\xe8", key=None) + served(ANSWER),
        frame(0x8, b"\x03\xed", key=None).replace(b"\x03\xed", b"\x07\xd1"),
        frame(0x1, b"x" * 5, key=None, length_form=16),
        frame(0x1, b"x", key=None, rsv=1),
        frame(0x2, b"\xc1", key=None),
    ],
)
def test_a_websocket_reply_that_breaks_a_rule_is_found(wrong: bytes) -> None:
    replies = WsReplies()
    replies.feed(UPGRADED)
    with pytest.raises(BadReply):
        replies.feed(wrong)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b"\x15\x03\x03\r\n\r\n"])
def test_an_http_answer_that_must_not_be_is_found(answer: bytes) -> None:
    with pytest.raises(BadReply):
        WsReplies().feed(answer)


# -- what judges the rest ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "finds"),
    [
        ('{"event":"session.failed","exception":"Traceback ...\\nKeyError: 1"}', "KeyError"),
        ('{"event":"log","exception":"Traceback ...\\nOSError"}', "OSError"),
        ("Traceback (most recent call last):", "Traceback"),
        ('{"event":"logon.refused","detail":"' + "A" * 86 + '=="}', "secret"),
        ('{"event":"logon.refused","cause":"signature"}', ""),
    ],
)
def test_a_bug_and_a_secret_in_the_log_are_found(line: str, finds: str) -> None:
    violations = Violations()
    LogReader(io.BytesIO(line.encode() + b"\n"), violations).join()
    assert bool(violations.count) is bool(finds)
    assert finds in " ".join(sort.first for sort in violations.sorts.values())


@pytest.mark.parametrize(("slow_ms", "is_violation"), [(1.0, False), (6.0, False), (60.0, True)])
def test_a_healthy_session_that_one_attacker_makes_wait_is_found(slow_ms: float, is_violation: bool) -> None:
    report = Report(Settings(1.0, 1), {"healthy": Latencies([0.001] * 100)}, [], {}, Violations(), Latencies([0.0001]))
    attacked = {"healthy": Latencies([slow_ms / 1_000] * 100)}
    report.waves.append(WaveResult(Wave(1, 0, "fix", "cut", 1, 1.0, 1), Tally(), attacked, 50.0))
    judge_latency(report)
    assert bool(report.violations.count) is is_violation


# -- what is owed ------------------------------------------------------------------------------------------------------

ASKED = fix("35=8|34=2|49=GATE|56=M1|150=I|584=af-0|912=Y|")
WORD = fix("35=5|34=3|49=GATE|56=M1|58=too slow|")


@pytest.mark.parametrize(
    ("said", "is_ended", "finds_quick", "finds_slow"),
    [
        (b"", False, "silence", "silence"),
        (b"", True, "quick reader was cut, without a word", "steady reader was cut, without a word"),
        (ASKED, True, "1 numbers", "1 numbers"),
        (ASKED + WORD, True, "told too slow", ""),
        (ASKED + fix("35=8|34=2|43=Y|49=GATE|56=M1|150=I|584=af-0|912=Y|"), False, "", ""),
        (ASKED + fix("35=4|34=1|43=Y|49=GATE|56=M1|123=Y|36=3|"), False, "", ""),
    ],
)
def test_who_asks_and_reads_on_gets_everything_or_if_slow_a_word(
    said: bytes, is_ended: bool, finds_quick: str, finds_slow: str
) -> None:
    for is_quick, finds in ((True, finds_quick), (False, finds_slow)):
        replies = FixOwed(Debt(is_quick))
        owe(replies.debt, "af-0", (2,))
        replies.debt.has_asked = True
        replies.feed(LOGON + said)
        complaint = replies.complaint(is_ended)
        assert bool(complaint) is bool(finds)
        assert finds in complaint


def turned_away(text: str) -> str:
    return f'{{"id":1,"status":429,"error":{{"code":1007,"msg":"{text}","retry_after_ms":7}}}}'


@pytest.mark.parametrize(
    ("answer", "is_bad"),
    [
        (ANSWER, False),
        ('{"id":1,"status":429,"error":{}}', True),
        (turned_away("each of the names of this key is connected"), True),
        (turned_away("too many logons, try later"), False),
    ],
)
def test_a_right_logon_that_is_refused_is_found(answer: str, is_bad: bool) -> None:
    replies = GetsIn()
    with pytest.raises(BadReply) if is_bad else contextlib.nullcontext():
        replies.feed(UPGRADED + served(answer))


def test_who_must_not_be_heard_and_who_speaks_no_tls_are_found() -> None:
    with pytest.raises(BadReply):
        Unheard().feed(b"8")
    with pytest.raises(BadReply):
        TlsReplies().feed(LOGON)
    TlsReplies().feed(b"\x15\x03\x01\x00\x02\x02\x28")
