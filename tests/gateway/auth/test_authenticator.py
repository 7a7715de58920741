"""Who may log on, who may not, and that a refusal reveals nothing to the peer: neither its cause nor by its timing."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import authenticator as room
from gateway.auth.authenticator import (
    HOLD_NS,
    MAX_SIGNATURES,
    Authenticator,
    Client,
    Denied,
    Proof,
)
from gateway.auth.backoff import LogonBackoff
from gateway.config import key_material
from gateway.config.key_material import MAX_TRIED, parse_expiry, parse_public_key
from gateway.config.load import build_instruments
from gateway.config.schema import Account, Config, Fix, FixListener, FixSessionRow, InstrumentRow, Key, Ws
from protocols.signing import fix_logon_text, ws_header_text, ws_logon_text
from protocols.wall import WallClock
from tests.support.hand_clock import HandClock

S = 1_000_000_000
SEED = bytes(range(32))
SIGNER = Ed25519PrivateKey.from_private_bytes(SEED)
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(reversed(range(32))))
OTHER_PUBLIC = base64.b64encode(OTHER.public_key().public_bytes_raw()).decode()
NOON = 1_795_348_800 * S  # 2026-11-22 12:00:00 UTC, when the published FIX sample was sent
HMAC_SECRET = b"sixteen bytes or more"

# The Logon(A) and the session.logon that are published to clients; the key's seed is the bytes 00..1f.
FIX_FIELDS = {35: "A", 49: "MM1", 56: "GATE", 34: "1", 52: "20261122-12:00:00.000000"}
FIX_SIGNATURE = "IhlgIH7fLGQUod8qXpb5aLvSYSb7pdPstBdlC1GY1Qk1/HxsNBFNQqnhMGuW1RRp4QRJV3rxE7M8od/6/HCXCg=="
WS_SIGNATURE = "oX2b9P3jXTUd6shDIkOvJjaakjvpZJkwoXYF1Gau2Vyu1eWEPaNk5IQJisu2MoDoXc+U0juDvngIMQ11wA/DDA=="

SESSION = FixSessionRow(id=1, comp_id="MM1", account="1001", instruments=("ETH-USDT",))
FOREIGN = FixSessionRow(id=2, comp_id="OTHER", account="1002")
OPEN = FixSessionRow(id=3, comp_id="OPEN", account="1002", listener="loop", auth="none")


def _key(key_id: str = "key-demo-1", **more: object) -> Key:
    return Key(**{"id": key_id, "account": "1001", "public_key": PUBLIC, **more})  # type: ignore[arg-type]


def _row(number: int, symbol: str) -> InstrumentRow:
    return InstrumentRow(id=number, symbol=symbol, base="A", quote="B", px_exp=2, qty_exp=2, tick="0.01", lot="0.01")


def make(*keys: Key, wall: WallClock | None = None) -> Authenticator:
    settings = Config(
        fix=Fix(listeners=(FixListener(name="loop", insecure=True),), sessions=(SESSION, FOREIGN, OPEN)),
        ws=Ws(),
        accounts=(Account(id=7, name="1001"), Account(id=8, name="1002")),
        keys=keys or (_key(),),
        instruments=(_row(1, "BTC-USDT"), _row(2, "ETH-USDT")),
    )
    secrets = {row.id: HMAC_SECRET for row in keys if row.type == "hmac-sha256"}
    return Authenticator(settings, build_instruments(settings), secrets, wall)


def attempt(
    clients: Authenticator, text: bytes = b"text", signature: bytes | str | None = None, **more: object
) -> object:
    """One logon, correct except for what `more` changes."""
    made = SIGNER.sign(text) if signature is None else signature
    given_as = made if isinstance(made, str) else base64.b64encode(made).decode()
    said: dict[str, Any] = {
        "keys": ("key-demo-1",), "peer_ip": "192.0.2.7", "now_ns": NOON, "permission": "fix.order_entry",
        "sent_at_ns": NOON, "window_ns": 5 * S, **more,
    }  # fmt: skip
    keys, permission, now_ns = said.pop("keys"), said.pop("permission"), said.pop("now_ns")
    proof = Proof(signed=text, signature_b64=given_as, **said)
    return clients.authenticate((keys,) if isinstance(keys, str) else keys, proof, permission, now_ns)


def cause(outcome: object) -> str:
    return outcome.cause if isinstance(outcome, Denied) else "in"


def test_the_published_fix_logon_gets_in() -> None:
    client = attempt(make(), fix_logon_text(FIX_FIELDS), FIX_SIGNATURE)
    assert client == Client(7, "1001", "key-demo-1", frozenset({"trade", "read", "fix.order_entry"}))


def test_the_published_websocket_logon_gets_in_whatever_its_clock_says_because_it_signed_our_challenge() -> None:
    text = ws_logon_text("key-demo-1", "9f1c2ab07d5e4c33", 1_795_348_800_005_000)
    outcome = attempt(make(), text, WS_SIGNATURE, permission="trade_or_read", sent_at_ns=None, now_ns=NOON + 9_000 * S)
    assert cause(outcome) == "in"


@pytest.mark.parametrize("at", range(len("A|MM1|GATE|1|20261122-12:00:00.000000")))
def test_a_fix_signature_covers_every_character_of_its_text(at: int) -> None:
    text = bytearray(fix_logon_text(FIX_FIELDS))
    text[at] ^= 1
    assert cause(attempt(make(), bytes(text), FIX_SIGNATURE)) == "signature"


def test_a_header_logon_cannot_be_used_again_as_a_message_nor_at_the_other_door() -> None:
    clients, text = make(), ws_header_text("key-demo-1", NOON // 1_000)
    assert cause(attempt(clients, text)) == "in"
    assert cause(attempt(clients, text, now_ns=NOON + S)) == "replay"
    assert cause(attempt(clients, fix_logon_text(FIX_FIELDS), SIGNER.sign(text))) == "signature"


def test_a_signature_is_remembered_as_long_as_any_window_would_let_it_pass_again() -> None:
    clients = make()
    assert cause(attempt(clients, window_ns=S)) == "in"
    assert (
        cause(attempt(clients, now_ns=NOON + 5 * S - 1)) == "replay"
    )  # RecvWindow is not signed: a copy may ask for 5 s
    assert cause(attempt(clients, now_ns=NOON + 5 * S, window_ns=3_600 * S)) == "clock"


def test_the_clock_may_be_a_window_behind_and_a_second_ahead_and_no_more() -> None:
    def at(sent_at_ns: int, window_ns: int = 5 * S) -> str:
        return cause(attempt(make(), sent_at_ns=sent_at_ns, window_ns=window_ns))

    assert at(NOON - 5 * S + 1) == "in"
    assert at(NOON - 5 * S) == "clock"
    assert at(NOON + S - 1) == "in"
    assert at(NOON + S) == "clock"
    assert at(NOON - 2 * S, window_ns=S) == "clock"
    assert at(NOON - 6 * S, window_ns=60 * S) == "clock"


@pytest.mark.parametrize("step_s", [-86_400, -3_600, -10, 10, 3_600, 86_400])
def test_whose_clock_is_right_gets_in_though_ours_was_corrected_and_no_one_has_looked(step_s: int) -> None:
    clock = HandClock()
    clients = make(wall=clock)
    clock.system_ns = step_s * S
    assert cause(attempt(clients, sent_at_ns=NOON + step_s * S)) == "in"
    assert cause(attempt(clients, b"old", sent_at_ns=NOON)) == "clock"


def test_failures_are_forgotten_after_a_duration_whatever_the_clock_says_meanwhile() -> None:
    clock = HandClock()
    clients = make(wall=clock)
    for n in range(9):
        attempt(clients, b"%d" % n, b"x" * 64)
    clock.offset_ns = 3_600 * S
    refused = attempt(clients, b"again", b"x" * 64, sent_at_ns=NOON + 3_600 * S)
    assert isinstance(refused, Denied)
    assert refused.hold_ns > 0


def test_signatures_of_a_clock_that_was_ahead_bar_no_one_after_it_went_back() -> None:
    clock = HandClock()
    clients = make(wall=clock)
    for n in range(MAX_SIGNATURES):
        assert cause(attempt(clients, b"%d" % n)) == "in"
    clock.system_ns = -3_600 * S
    assert cause(attempt(clients, b"right", now_ns=NOON, sent_at_ns=NOON - 3_600 * S)) == "in"
    assert cause(attempt(clients, b"right", now_ns=NOON, sent_at_ns=NOON - 3_600 * S)) == "replay"


def test_one_key_cannot_fill_the_memory_of_signatures_of_another() -> None:
    clients = make(_key(), _key("key-2"))
    for n in range(MAX_SIGNATURES):
        assert cause(attempt(clients, b"%d" % n)) == "in"
    assert cause(attempt(clients, b"one more")) == "too_many_logons"
    assert cause(attempt(clients, b"one more", keys="key-2")) == "in"
    assert cause(attempt(clients, b"later", now_ns=NOON + 6 * S, sent_at_ns=NOON + 6 * S)) == "in"


def test_a_client_that_signs_more_logons_than_are_remembered_has_proved_itself_and_learns_when_there_is_room() -> None:
    clients = make()
    for n in range(MAX_SIGNATURES):
        assert cause(attempt(clients, b"%d" % n, now_ns=NOON + n, sent_at_ns=NOON + n)) == "in"
    for n in range(30):  # not a failure: neither its address nor its key is delayed for it
        assert attempt(clients, b"more %d" % n, now_ns=NOON + S) == Denied("too_many_logons", retry_ns=4 * S)
    assert attempt(clients, b"more", b"x" * 64, now_ns=NOON + S) == Denied("signature")
    assert attempt(clients, b"0", now_ns=NOON + S) == Denied("replay")
    later_ns = NOON + 5 * S + 1
    assert cause(attempt(clients, b"more", now_ns=later_ns, sent_at_ns=later_ns)) == "in"


def test_checks_are_made_in_the_published_order() -> None:
    """Key, address, expiry, clock, signature, permission, seen before: each attempt corrects one more fault."""
    clients = make(_key(ips=("10.0.0.0/8",), expires="2026-11-22T12:00:01Z", permissions=("read",)))
    faults: dict[str, Any] = {"peer_ip": "192.0.2.1", "now_ns": NOON + S, "sent_at_ns": NOON - 9 * S}
    bad = b"x" * 64
    assert cause(attempt(clients, signature=bad, keys="nobody", **faults)) == "unknown_key"
    assert cause(attempt(clients, signature=bad, **faults)) == "address"
    faults["peer_ip"] = "10.1.2.3"
    assert cause(attempt(clients, signature=bad, **faults)) == "expired"
    faults["now_ns"] = NOON
    assert cause(attempt(clients, signature=bad, **faults)) == "clock"
    faults["sent_at_ns"] = NOON
    assert cause(attempt(clients, signature=bad, **faults)) == "signature"
    assert cause(attempt(clients, **faults)) == "permission"
    assert cause(attempt(clients, **faults)) == "replay"


@pytest.mark.parametrize("peer_ip", ["10.255.0.1", "::ffff:10.255.0.1", "2001:db8::9%eth0"])
def test_an_address_in_a_listed_network_passes_in_each_way_of_writing_it(peer_ip: str) -> None:
    clients = make(_key(ips=("10.0.0.0/8", "2001:db8::/32")))
    assert cause(attempt(clients, peer_ip=peer_ip)) == "in"


@pytest.mark.parametrize("peer_ip", ["11.0.0.1", "2001:db9::1", "", "/run/socket"])
def test_an_address_outside_or_none_at_all_does_not_pass_a_list(peer_ip: str) -> None:
    assert cause(attempt(make(_key(ips=("10.0.0.0/8", "2001:db8::/32"))), peer_ip=peer_ip)) == "address"


def test_hmac_keys_sign_the_same_text_with_their_secret() -> None:
    clients = make(_key("h", type="hmac-sha256", public_key="", secret_env="S"))
    good = hmac.new(HMAC_SECRET, b"text", hashlib.sha256).digest()
    assert cause(attempt(clients, keys="h", signature=good)) == "in"
    assert cause(attempt(clients, keys="h", signature=good)) == "replay"
    assert cause(attempt(clients, keys="h", signature=good[:-1])) == "signature"
    assert cause(attempt(clients, keys="h", signature=SIGNER.sign(b"text"))) == "signature"


def test_an_hmac_key_without_its_secret_is_never_taken_for_one_with_an_empty_secret() -> None:
    settings = Config(accounts=(Account(id=1, name="A"),), keys=(Key(id="h", account="A", type="hmac-sha256"),))
    with pytest.raises(ValueError, match="no secret for key h"):
        Authenticator(settings, build_instruments(settings))


@pytest.mark.parametrize("signature", ["", "=", "not base64!", "é", "AAAA", FIX_SIGNATURE[:-4], FIX_SIGNATURE * 9])
def test_what_is_no_signature_is_refused_like_a_bad_one(signature: str) -> None:
    assert cause(attempt(make(), signature=signature)) == "signature"


def test_every_refusal_pays_for_exactly_one_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    paid: list[bytes] = []
    real = room._is_signed_by

    def counting(key: object, signature: bytes, signed: bytes) -> bool:
        paid.append(signature)
        return real(key, signature, signed)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_is_signed_by", counting)
    keys = (_key(ips=("10.0.0.0/8",)), _key("old", expires="2020-01-01T00:00:00Z"), _key("late"), _key("bad"))
    clients = make(*keys, _key("h", type="hmac-sha256", public_key="", secret_env="S"))
    for key_id, sent_at_ns, expected in (
        ("nobody", NOON, "unknown_key"),
        ("key-demo-1", NOON, "address"),
        ("old", NOON, "expired"),
        ("late", 0, "clock"),
        ("bad", NOON, "signature"),
        ("h", NOON, "signature"),
    ):
        paid.clear()
        assert cause(attempt(clients, signature=b"s" * 64, keys=key_id, sent_at_ns=sent_at_ns)) == expected
        assert paid == [b"s" * 64]


@given(
    key_id=st.text(max_size=40), signature=st.text(max_size=120), signed=st.binary(max_size=80), ip=st.text(max_size=40)
)
def test_any_input_is_answered_with_a_client_or_a_denial(key_id: str, signature: str, signed: bytes, ip: str) -> None:
    outcome = attempt(make(), signed, signature, keys=key_id, peer_ip=ip)
    assert isinstance(outcome, Denied)


# -- repeated failures -----------------------------------------------------------------------------------------------


def holds(outcomes: list[object]) -> list[int]:
    return [outcome.hold_ns if isinstance(outcome, Denied) else -1 for outcome in outcomes]


def test_who_fails_more_than_five_times_is_answered_later_and_let_in_at_once_when_it_signs_correctly() -> None:
    clients = make()
    assert holds([attempt(clients, signature=b"") for _ in range(7)]) == [0] * 5 + [HOLD_NS] * 2
    assert cause(attempt(clients)) == "in"
    assert holds([attempt(clients, signature=b"")]) == [0], "it proved itself: what failed before is forgiven"


def test_no_one_is_locked_out_by_the_failures_of_others_not_even_at_its_first_logon() -> None:
    clients = make()
    for n in range(100):
        attempt(clients, signature=b"", keys=f"guess-{n}")  # from the same address, such as a shared NAT
        attempt(clients, signature=b"")  # in its own name, too
        attempt(clients, signature=b"", peer_ip="198.51.100.1")  # and from elsewhere
    assert cause(attempt(clients)) == "in"


def test_an_address_that_tries_one_key_after_the_other_is_answered_later_whether_or_not_there_is_such_a_key() -> None:
    clients = make()
    outcomes = [attempt(clients, signature=b"", keys=f"guess-{n}") for n in range(20)]
    assert holds(outcomes) == [0] * 20
    for keys in ("guess-20", "key-demo-1"):
        assert holds([attempt(clients, signature=b"", keys=keys)]) == [HOLD_NS]
    assert holds([attempt(clients, signature=b"", peer_ip="192.0.2.8")]) == [0]


def test_failures_are_forgotten_after_ten_minutes_of_quiet() -> None:
    failures = LogonBackoff(free=2)
    assert [failures.add("k", n * 600 * S - n) for n in range(4)] == [False, False, True, True]
    assert not failures.add("k", 4_000 * S)


def test_the_memory_of_failures_is_bounded() -> None:
    failures = LogonBackoff(free=1)
    for n in range(LogonBackoff.MAX_KEYS + 5):
        failures.add(n, 0)
    assert [failures.add(n, 0) for n in (6, 5, 4)] == [True, True, False]


# -- FIX sessions ----------------------------------------------------------------------------------------------------


def test_a_key_may_use_the_sessions_of_its_account_and_those_it_names_only() -> None:
    clients = make()
    client = attempt(clients)
    assert isinstance(client, Client)
    assert clients.may_use(client, SESSION)
    assert not clients.may_use(client, FOREIGN)
    narrow = attempt(make(_key(fix_sessions=("ELSE",))))
    assert isinstance(narrow, Client)
    assert not clients.may_use(narrow, SESSION)


def test_a_logon_without_username_means_every_key_that_may_log_on_to_the_session() -> None:
    clients = make(
        _key("old"),
        _key("new"),
        _key("web", permissions=("trade", "read")),
        _key("gone", expires="2020-01-01T00:00:00Z"),
        _key("other-desk", fix_sessions=("ELSE",)),
        _key("stranger", account="1002"),
    )
    assert clients.keys_for(SESSION, "", NOON) == ("old", "new")
    assert clients.keys_for(SESSION, "said", NOON) == ("said",)
    assert clients.keys_for(FOREIGN, "", NOON) == ("stranger",)
    assert make().keys_for(FOREIGN, "", NOON) == ()


def test_of_several_keys_the_signature_decides_so_that_they_may_overlap_in_a_rotation() -> None:
    clients = make(_key("old", public_key=OTHER_PUBLIC), _key("new"))
    keys = clients.keys_for(SESSION, "", NOON)
    for signer, key_id in ((SIGNER, "new"), (OTHER, "old")):
        outcome = attempt(clients, signature=signer.sign(b"text"), keys=keys)
        assert isinstance(outcome, Client)
        assert outcome.key_id == key_id
        assert cause(attempt(clients, signature=signer.sign(b"text"), keys=keys)) == "replay"


def test_an_hmac_key_among_them_is_tried_like_any_other() -> None:
    clients = make(_key("old"), _key("new", type="hmac-sha256", public_key="", secret_env="S"))
    good = hmac.new(HMAC_SECRET, b"text", hashlib.sha256).digest()
    outcome = attempt(clients, signature=good, keys=("old", "new"))
    assert isinstance(outcome, Client)
    assert outcome.key_id == "new"


def test_when_none_of_them_signed_the_one_that_came_furthest_says_why() -> None:
    clients = make(_key("elsewhere", ips=("10.0.0.0/8",)), _key("old", expires="2020-01-01T00:00:00Z"), _key())
    assert cause(attempt(clients, signature=b"", keys=("elsewhere", "key-demo-1", "old"))) == "signature"
    assert cause(attempt(clients, keys=("old", "elsewhere"))) == "expired"
    assert cause(attempt(clients, keys=())) == "unknown_key"


def test_a_stranger_cannot_have_more_than_a_few_signatures_checked_with_one_logon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paid: list[bytes] = []
    real = room._is_signed_by
    monkeypatch.setattr(room, "_is_signed_by", lambda *args: (paid.append(args[1]), real(*args))[1])
    keys = tuple(f"key-{n}" for n in range(MAX_TRIED + 1))
    clients = make(*map(_key, keys))
    assert cause(attempt(clients, signature=b"", keys=keys[:-1])) == "signature"
    assert len(paid) == MAX_TRIED
    assert cause(attempt(clients, keys=keys)) == "too_many_keys"
    assert len(paid) == MAX_TRIED + 1


def test_a_session_without_credentials_may_trade_and_one_with_may_nothing_until_it_proved_itself() -> None:
    clients = make()
    assert clients.for_fix_session(OPEN).may("trade")
    assert clients.for_fix_session(SESSION) == Client(7, "1001")


def test_a_session_trades_the_symbols_it_names() -> None:
    clients = make()
    assert clients.tradable(SESSION) == {2}
    assert clients.tradable(OPEN) == frozenset()


# -- keys and times as operators write them --------------------------------------------------------------------------


def _doubled(y_bytes: bytes) -> tuple[int, int]:
    """Twice the point with this y on edwards25519, by the textbook formula: an independent judge of the list."""
    p, y = 2**255 - 19, int.from_bytes(y_bytes, "little") % (2**255 - 19)
    d = -121665 * pow(121666, -1, p) % p
    x2 = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    x = pow(x2, (p + 3) // 8, p)
    x = x if x * x % p == x2 else x * pow(2, (p - 1) // 4, p) % p
    assert x * x % p == x2
    k = d * x * x * y * y % p
    return 2 * x * y * pow(1 + k, -1, p) % p, (y * y + x * x) * pow(1 - k, -1, p) % p


@pytest.mark.parametrize("raw", sorted(key_material._WEAK_KEYS))
def test_every_refused_point_has_an_order_of_at_most_eight(raw: bytes) -> None:
    point = _doubled(raw)
    for _ in range(2):
        point = _doubled(point[1].to_bytes(32, "little"))
    assert point == (0, 1)
    for sign in (0, 0x80):
        with pytest.raises(ValueError, match="anyone can sign"):
            parse_public_key(base64.b64encode(raw[:31] + bytes([raw[31] | sign])).decode())


@pytest.mark.parametrize("text", ["", "AAAA", PUBLIC[:-1], "é" * 44, "not base64 at all!"])
def test_a_public_key_is_32_bytes_in_base64(text: str) -> None:
    with pytest.raises(ValueError):
        parse_public_key(text)


def test_an_expiry_needs_an_offset() -> None:
    assert parse_expiry("") == 0
    assert parse_expiry("2026-11-22T12:00:00Z") == NOON
    assert parse_expiry("2026-11-22T13:00:00+01:00") == NOON
    for text in ("2026-11-22T12:00:00", "tomorrow", "2026-13-01T00:00:00Z"):
        with pytest.raises(ValueError):
            parse_expiry(text)
