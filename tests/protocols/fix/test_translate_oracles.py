"""The translation against judges that share no code with it: stock dictionaries, simplefix, our own strict decoder.

And as properties: a number goes from order to text to command unchanged, and no text forges a field.

Module: fix.translate.
"""

import pytest
import simplefix
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import CODES, Refusal
from protocols.fix.decoder import Decoder, Fault
from protocols.fix.events import AppMessage
from protocols.fix.message import encode
from protocols.fix.times import format_ns
from protocols.fix.translate import Answer, Translator
from protocols.instruments import Instrument, Instruments, render
from protocols.messages import (
    ExecType,
    NewOrder,
    OrderEvent,
    ReplaceOrder,
    Side,
    Stp,
    Tif,
)
from tests.support.every_answer import EVERY_DIALECT, REQUESTS, SERVED, every_answer
from tests.support.stock_dictionary import complaints
from tests.support.translation import (
    DIALECTS,
    T_CORE,
    T_RECV,
    VERSIONS,
    fill_event,
    request,
    sender,
    translator,
)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stock_engine_accepts_everything_that_a_plain_session_is_sent(version: str) -> None:
    for msg_type, body in every_answer(version, "plain"):
        assert complaints(version, msg_type, body) == [], body.replace("\x01", "|")


@pytest.mark.parametrize(("version", "dialect"), EVERY_DIALECT)
def test_our_own_dictionary_knows_everything_that_we_send(version: str, dialect: str) -> None:
    decoder = Decoder(version)
    for msg_type, body in every_answer(version, dialect):
        header = f"35={msg_type}\x0134=5\x0149=GATE\x0152=20261122-12:00:00.000402\x0156=MM1\x01"
        message = decoder.decode(encode(version, header + body))
        assert message.fault is None, (message.fault, body.replace("\x01", "|"))


@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_dictionary_lets_every_request_of_these_tests_in(version: str) -> None:
    decoder = Decoder(version)
    for msg_type in SERVED[version]:
        fields = REQUESTS[msg_type].fields
        header = f"35={msg_type}\x0134=5\x0149=MM1\x0152={fields[52]}\x0156=GATE\x01"
        body = "".join([f"{tag}={value}\x01" for tag, value in fields.items() if tag not in (34, 35, 52)])
        message = decoder.decode(encode(version, header + body))
        assert message.fault is None, message.fault
        app = AppMessage(msg_type, 5, message.fields, message.groups, False, False, REQUESTS[msg_type].sending_time_ns)
        assert not isinstance(translator(version).command(app, sender(), T_RECV), Refusal | Fault)


def parsed_by_simplefix(answer: Answer) -> list[tuple[int, bytes]]:
    """Body fields as an independent parser reads them off the wire."""
    msg_type, body = answer
    parser = simplefix.FixParser()
    parser.append_buffer(encode("FIX.4.4", f"35={msg_type}\x0134=1\x01{body}"))
    message = parser.get_message()
    assert message is not None
    assert parser.get_message() is None
    return [(int(tag), value) for tag, value in message.pairs][4:-1]


any_text = st.text(max_size=40)
hostile = st.one_of(any_text, st.sampled_from(["\x01", "a\x0110=000\x01", "8=FIX.4.4\x01", "=", "\r\n", "\x00", "é"]))


@settings(max_examples=150, deadline=None)
@given(
    cl_ord_id=hostile, orig=hostile, tag=hostile, text=hostile, asset=hostile, version=st.sampled_from(VERSIONS),
    kind=st.sampled_from(list(ExecType)), code=st.sampled_from([0, *CODES]), dialect=st.sampled_from(DIALECTS),
)  # fmt: skip
def test_no_text_of_an_event_can_forge_a_field(
    cl_ord_id: str, orig: str, tag: str, text: str, asset: str, version: str, kind: ExecType, code: int, dialect: str
) -> None:
    hostile_texts = {"cl_ord_id": cl_ord_id, "orig_cl_ord_id": orig, "tag": tag, "text": text, "fee_asset": asset}
    harmless_texts = {name: "x" if value else "" for name, value in hostile_texts.items()}
    us = translator(version, dialect)
    bodies = []
    for texts in (hostile_texts, harmless_texts):
        [answer] = us.event(fill_event(exec_type=kind, code=code, **texts), REQUESTS["D"], T_RECV)
        assert answer[1].isascii()
        bodies.append(parsed_by_simplefix(answer))
    assert [number for number, _ in bodies[0]] == [number for number, _ in bodies[1]]
    assert all(value for _, value in bodies[0]), "no field is empty"


@settings(max_examples=100, deadline=None)
@given(text=hostile, msg_type=st.sampled_from(sorted(REQUESTS)), code=st.sampled_from(sorted(CODES)), fields=st.data())
def test_no_text_of_a_refusal_or_of_its_request_can_forge_a_field(
    text: str, msg_type: str, code: int, fields: st.DataObject
) -> None:
    message = REQUESTS[msg_type]
    harmless = translator().refusal(message, Refusal(code, "x"), T_CORE, "R-1")
    echoed = {tag: fields.draw(hostile.filter(bool)) for tag in message.fields if tag in (1, 11, 41, 55, 584, 526, 790)}
    evil = AppMessage(msg_type, 2, message.fields | echoed, None, False, False, message.sending_time_ns)
    answer = translator().refusal(evil, Refusal(code, text), T_CORE, "R-1")
    assert answer[1].isascii()
    tags = [tag for tag, value in parsed_by_simplefix(answer) if value]
    known = [tag for tag, _ in parsed_by_simplefix(harmless)]
    assert tags == [tag for tag in known if tag != 38 or 38 in tags], "an unknown symbol has no quantity"


exponents = st.integers(min_value=0, max_value=9)
whole = st.integers(min_value=0, max_value=10**18 - 1)
SYMBOL = "ANY"


def with_instrument(px_exp: int, qty_exp: int) -> tuple[Translator, Instrument]:
    instrument = Instrument(1, SYMBOL, "A", "B", px_exp, qty_exp)
    return Translator("FIX.4.4", "penstock", Instruments((instrument,))), instrument


@settings(max_examples=150, deadline=None)
@given(
    px_exp=exponents, qty_exp=exponents, price=whole, qty=whole, stop_px=whole, display=whole, min_qty=whole,
    expire=st.integers(0, 9 * 10**18), stp=st.sampled_from(list(Stp)), side=st.sampled_from(list(Side)),
    tif=st.sampled_from(list(Tif)), window=st.integers(0, 60_000_000_000),
)  # fmt: skip
def test_every_number_of_an_order_survives_the_wire_exactly(
    px_exp: int, qty_exp: int, price: int, qty: int, stop_px: int, display: int, min_qty: int,
    expire: int, stp: Stp, side: Side, tif: Tif, window: int,
) -> None:  # fmt: skip
    us, instrument = with_instrument(px_exp, qty_exp)
    terms = [f"35=D|11=a|55={SYMBOL}|54={side:d}|40=4|59={tif:d}|25000={render(window, 6)}"]
    terms += [f"44={instrument.price_text(price)}|99={instrument.price_text(stop_px)}|38={instrument.qty_text(qty)}"]
    terms += [f"110={instrument.qty_text(min_qty)}"]
    terms += [f"111={instrument.qty_text(display)}"] if display else []
    terms += [f"126={format_ns(expire, 9)}"] if tif is Tif.GTD else []
    terms += [f"25001={stp:d}"] if stp else []
    message = request("|".join(terms))
    order = us.command(message, sender(), T_RECV)
    assert isinstance(order, NewOrder)
    assert (order.price, order.stop_px, order.qty, order.display_qty) == (price, stop_px, qty, display)
    assert (order.min_qty, order.stp, order.side, order.tif) == (min_qty, stp, side, tif)
    assert order.expire_at == (expire if tif is Tif.GTD else 0)
    assert order.deadline == message.sending_time_ns + window


@settings(max_examples=100, deadline=None)
@given(px_exp=exponents, qty_exp=exponents, price=whole.filter(bool), qty=whole.filter(bool), cum=whole, leaves=whole)
def test_every_number_of_a_report_survives_the_wire_exactly(
    px_exp: int, qty_exp: int, price: int, qty: int, cum: int, leaves: int
) -> None:
    us, instrument = with_instrument(px_exp, qty_exp)
    sums = {"cum_qty": cum, "leaves_qty": leaves, "cum_quote": cum * price}
    event = fill_event(instrument=1, price=price, qty=qty, last_px=price, last_qty=qty, **sums)
    [answer] = us.event(event, None)
    report = dict(parsed_by_simplefix(answer))
    for tag, expected in ((38, qty), (14, cum), (151, leaves), (32, qty)):
        assert instrument.parse_qty(report[tag].decode()) == expected
    for tag in (44, 31):
        assert instrument.parse_price(report[tag].decode()) == price
    if cum:
        assert report[25017].decode() == instrument.quote_text(cum * price)


field_soup = st.dictionaries(
    st.sampled_from([1, 11, 18, 37, 38, 40, 41, 44, 54, 55, 59, 60, 99, 110, 111, 126, 152, 168, 423, 526, 530, 584,
                     585, 790, 2362, 2964, 20103, 20112, 25000, 25001]),
    st.one_of(
        st.sampled_from(["1", "2", "3", "4", "6", "7", "0", "Y", "BTC-USDT", "abc", "1.5", "20261122-12:00:00", ""]),
        st.text(max_size=50),
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(fields=field_soup, msg_type=st.sampled_from(sorted(REQUESTS)), window_ms=st.integers(0, 60_000))
def test_whatever_the_fields_there_is_a_command_or_an_answer_and_never_an_exception(
    fields: dict[int, str], msg_type: str, window_ms: int
) -> None:
    who = sender()
    message = AppMessage(msg_type, 2, fields, None, False, False, T_RECV)
    made = translator().command(message, who, T_RECV, window_ms)
    if isinstance(made, Refusal):
        answer = translator().refusal(message, made, T_CORE, "R-1")
        assert parsed_by_simplefix(answer)
    if isinstance(made, Refusal | Fault):
        assert (who.order_n, who.cancel_n) == (0, 0)
    if isinstance(made, NewOrder | ReplaceOrder):
        assert 0 <= made.qty < 1 << 63
        assert 0 <= made.price < 1 << 63


def test_a_fill_of_the_samples_is_what_a_stock_client_reads() -> None:
    event: OrderEvent = fill_event(side=Side.SELL)
    report = dict(parsed_by_simplefix(translator().event(event, None)[0]))
    assert (report[150], report[39], report[54], report[31], report[32]) == (
        b"F",
        b"1",
        b"2",
        b"64250.50",
        b"0.00500000",
    )
