"""Log lines are readable by machines, contain no secrets, and never block."""

import ast
import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway
from gateway.telemetry import logs
from gateway.telemetry.logs import EVENTS, JsonFormatter, LineWriter, log_event, mask

SECRET = "IhlgIH7fLGQUod8qXpb5aLvSYSb7pdPs"
logger = logging.getLogger("penstock.test")


def line_of(name: str, **fields: object) -> dict[str, object]:
    record = logging.LogRecord("penstock", logging.INFO, "", 0, name, None, None)
    record.penstock_fields = fields
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, object] = json.loads(text)
    return parsed


class Pipe(io.RawIOBase):
    """A stream whose reader can be stuck."""

    def __init__(self) -> None:
        self.data = b""
        self.open = threading.Event()
        self.open.set()

    def write(self, data: object, /) -> int:
        self.open.wait()
        taken = bytes(data)[:7]  # type: ignore[call-overload]  # pipes may take a part
        self.data += taken
        return len(taken)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.data.decode().splitlines()]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = handlers, level


def test_an_event_is_one_json_line_with_its_fields(root: logging.Logger) -> None:
    pipe = Pipe()
    writer = logs.setup("info", pipe)
    log_event(logger, "session.logged_on", session="MM1", door="fix", ports={"fix": 1})
    writer.close()
    [line] = pipe.lines
    assert str(line.pop("ts")).endswith("+00:00")
    assert line == {"level": "info", "event": "session.logged_on", "session": "MM1", "door": "fix", "ports": {"fix": 1}}


def test_the_level_keeps_lesser_events_out(root: logging.Logger) -> None:
    pipe = Pipe()
    writer = logs.setup("error", pipe)
    log_event(logger, "logon.refused", cause="signature")
    log_event(logger, "gateway.failed")
    writer.close()
    assert [line["event"] for line in pipe.lines] == ["gateway.failed"]


def test_an_undeclared_event_is_logged_and_says_so(root: logging.Logger) -> None:
    pipe = Pipe()
    writer = logs.setup("info", pipe)
    log_event(logger, "session.logd_on", session="MM1")
    writer.close()
    [line] = pipe.lines
    assert (line["event"], line["undeclared"], line["level"]) == ("session.logd_on", True, "warning")


def test_every_event_that_the_code_logs_is_declared() -> None:
    used = set()
    for path in Path(gateway.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("log", "_log", "log_event"):
                used |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    assert used
    assert used <= EVENTS.keys()


def test_every_event_that_is_declared_is_logged_somewhere() -> None:
    paths = [path for path in Path(gateway.__file__).parent.rglob("*.py") if path.name != "logs.py"]
    said = {
        node.value for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
    }
    assert EVENTS.keys() - said == {"log.dropped"}, "that one the writer of lines logs itself"


def test_lines_of_libraries_come_out_in_the_same_form_with_their_traceback(root: logging.Logger) -> None:
    pipe = Pipe()
    writer = logs.setup("info", pipe)
    try:
        raise ValueError(f"bad frame 554={SECRET}|10=000|")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("went %s", "wrong")
    writer.close()
    [line] = pipe.lines
    assert (line["event"], line["logger"], line["text"]) == ("log", "aiohttp.server", "went wrong")
    assert "ValueError: bad frame 554=***|10=000|" in str(line["exception"])


@pytest.mark.parametrize(
    "text",
    [
        f"8=FIX.4.4|9=1|35=A|554={SECRET}|10=000|",
        f"8=FIX.4.4\x0135=A\x0195=32\x0196={SECRET}\x0110=000\x01",
        f"35=A|95=70|96={SECRET}\x01 an SOH inside: {SECRET}|10=000|",
        f"35=A|925={SECRET}|1402={SECRET}|89={SECRET}|",
        repr(f"8=FIX.4.4\x01554={SECRET}\x0110=000\x01"),
        repr({554: SECRET, 58: "hello"}),
        repr({"Password": SECRET}),
        f'{{"method":"session.logon","params":{{"api_key":"k","sig":"{SECRET}"}}}}',
        f'{{"secret" : "{SECRET}',
        f'{{"password":"a\\"{SECRET}"}}',
        f"Logon(api_key='k', sig='{SECRET}', name='mm')",
        f"X-Signature: '{SECRET}'",
    ],
)
def test_secrets_inside_a_text_are_masked_in_each_way_they_are_written(text: str) -> None:
    assert SECRET not in mask(text)
    assert "***" in mask(text)
    assert SECRET not in json.dumps(line_of("log", detail=text, nested={"deep": [text, text.encode()]}))


@pytest.mark.parametrize(
    "name", ["password", "sig", "X-Signature", "private_key", "secret", "Authorization", "554", "96"]
)
def test_a_field_that_is_named_a_secret_is_never_written(name: str) -> None:
    assert SECRET not in json.dumps(line_of("log", **{name: SECRET}, headers={name: SECRET}))


def test_what_is_no_secret_stays_readable() -> None:
    text = "35=D|11=order-554|55=BTC-USDT|1554=x|44=96.5|58=sign here|10=128|"
    assert mask(text) == text


def test_control_characters_cannot_forge_a_line_or_act_on_a_terminal() -> None:
    evil = 'x\n{"event":"gateway.stopped"}\r\x1b[2J\x9b31m\u2028\u202eabc\ud800'
    line = line_of("session.notice", text=evil)
    text = json.dumps(line, ensure_ascii=False)
    assert line["event"] == "session.notice"
    assert not any(char in text for char in "\n\r\x1b\x9b\u2028\u202e\ud800")


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert mask("a" * 10_000) == "a" * 4_096 + "... (10000 characters)"


def test_masking_takes_time_in_proportion_whatever_the_text() -> None:
    texts = ("secret" * 2_000, "95=1|96=" * 2_000, "secret" + " " * 9_000, 'sig="' + "\\" * 9_000, "5" * 9_000 + "=")
    begin = time.process_time()
    for text in texts:
        mask(text)
    assert time.process_time() - begin < 0.5


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=10
)


@given(values)
def test_any_value_makes_a_line(value: object) -> None:
    assert line_of("session.notice", value=value)["event"] == "session.notice"


def test_a_value_that_is_its_own_part_makes_a_line() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert line_of("session.notice", value=loop)


def test_a_stuck_pipe_costs_lines_and_never_time_and_the_loss_is_reported(root: logging.Logger) -> None:
    pipe = Pipe()
    pipe.open.clear()
    writer = LineWriter(pipe, max_lines=5)
    root.handlers[:] = [writer]
    root.setLevel("INFO")
    begin = time.monotonic()
    for n in range(100):
        log_event(logger, "session.lost", n=n)
    assert time.monotonic() - begin < 1
    assert writer.dropped in (94, 95)  # the thread may hold one line beside the queue
    assert logs.dropped_lines() == writer.dropped
    dropped = writer.dropped
    pipe.open.set()
    writer.close()
    lines = pipe.lines
    assert [line["n"] for line in lines[:-1]] == list(range(100 - dropped))
    assert (lines[-1]["event"], lines[-1]["lines"]) == ("log.dropped", dropped)


def test_closing_does_not_wait_for_a_pipe_that_stays_stuck() -> None:
    pipe = Pipe()
    pipe.open.clear()
    writer = LineWriter(pipe)
    writer.emit(logging.LogRecord("x", logging.INFO, "", 0, "y", None, None))
    begin = time.monotonic()
    writer.close()
    assert time.monotonic() - begin < 3
    pipe.open.set()


def test_a_reader_that_is_gone_is_survived() -> None:
    reader, writer_end = os.pipe()
    os.close(reader)
    with io.FileIO(writer_end, "wb") as stream:
        writer = LineWriter(stream)
        writer.emit(logging.LogRecord("x", logging.INFO, "", 0, "y", None, None))
        writer.close()
    assert writer.dropped == 1
