"""Values of each data type; and no pattern of learned shapes accepts what the exact check refuses."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.fix.dictionary.datatypes import CHECKS, PATTERNS

GOOD = {
    "INT": ["0", "-5", "007", "9" * 18],
    "SEQNUM": ["1", "000012"],
    "NUMINGROUP": ["0", "3"],
    "DAYOFMONTH": ["1", "01", "31"],
    "PRICE": ["0", "64250.50", "100.", "002000.00", "0.00000001"],
    "QTY": ["200.00"],
    "AMT": ["-0.01606262", "3"],
    "BOOLEAN": ["Y", "N"],
    "CHAR": ["1", "A", " "],
    "MULTIPLEVALUESTRING": ["6", "6 A", "AON IOC"],
    "STRING": ["BTC-USDT", "a b", "~"],
    "CURRENCY": ["USD", "USDT", "1INCH"],
    "UTCTIMESTAMP": ["20261122-12:00:00", "20261122-12:00:00.123456789", "20280229-23:59:60", "19700101-00:00:00"],
    "UTCTIMEONLY": ["12:00:00", "23:59:60.123"],
    "UTCDATEONLY": ["20280229"],
    "LOCALMKTDATE": ["20261231", "19991231"],
    "MONTHYEAR": ["202611", "202611w2", "20261130"],
    "TZTIMEONLY": ["07:39Z", "13:09+05:30", "08:00"],
    "TEXT": ["añb", "\t"],
    "UNSIGNED": ["250", "0.5"],
    "SERVEDVERSION": ["9"],
    "DATA": ["\x01\x00"],
}
BAD = {
    "INT": ["", "+5", "1.0", "--1", "1e3", "9" * 19, "²", "1_0", " 1"],
    "SEQNUM": ["-1", "x"],
    "NUMINGROUP": ["-1", "1.0"],
    "DAYOFMONTH": ["0", "32"],
    "PRICE": ["+200.00", "-1", "1e5", ".5", ".", "1..", "1,5", "NaN", "1.2.3", "1 "],
    "QTY": ["+200.00", "-0", "٣"],
    "AMT": ["+1", "--1", "-"],
    "BOOLEAN": ["y", "1", "YN", ""],
    "CHAR": ["AB", "", "é", "\n"],
    "MULTIPLEVALUESTRING": ["6  A", " 6", "6 "],
    "STRING": ["é", "a\nb", "\x7f", ""],
    "CURRENCY": ["U S", ""],
    "UTCTIMESTAMP": ["20270229-12:00:00", "20261122-12:00:00.1", "20261122", "22630101-00:00:00"],
    "UTCTIMEONLY": ["24:00:00", "12:00"],
    "UTCDATEONLY": ["20270229", "2026112"],
    "LOCALMKTDATE": ["20261232", "00000101"],
    "MONTHYEAR": ["202613", "202611w6", "2026"],
    "TZTIMEONLY": ["25:00Z"],
    "TEXT": ["a\x01b", ""],
    "UNSIGNED": ["-5"],
    "SERVEDVERSION": ["4", "99", ""],
}


@pytest.mark.parametrize(("data_type", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_well_formed(data_type: str, text: str) -> None:
    assert CHECKS[data_type](text)


@pytest.mark.parametrize(("data_type", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_malformed(data_type: str, text: str) -> None:
    assert not CHECKS[data_type](text)
    assert not re.fullmatch(PATTERNS[data_type], text)


@settings(max_examples=60)
@pytest.mark.parametrize("data_type", sorted(PATTERNS))
@given(data=st.data())
def test_whatever_a_pattern_takes_the_check_takes(data_type: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(PATTERNS[data_type], fullmatch=True))
    assert CHECKS[data_type](text)


@given(st.text(max_size=24))
def test_no_check_raises(text: str) -> None:
    for check in CHECKS.values():
        check(text)
