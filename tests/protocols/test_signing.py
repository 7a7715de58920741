"""The texts to sign, compared with the published test vectors: with one byte wrong, no client can log on."""

import base64
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.signing import fix_logon_text, ws_header_text, ws_logon_text

# The demonstration key of the contract: seed 00..1f. Never use it elsewhere.
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed(text: bytes) -> str:
    return base64.b64encode(KEY.sign(text)).decode()


def test_the_public_key_of_the_vectors() -> None:
    public = KEY.public_key().public_bytes_raw()
    assert base64.b64encode(public) == b"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_fix_logon_signs_its_message_type_comp_ids_number_and_time() -> None:
    fields = {35: "A", 34: "1", 49: "MM1", 52: "20261122-12:00:00.000000", 56: "GATE", 98: "0", 108: "30"}
    text = fix_logon_text(fields)
    assert text.replace(b"\x01", b"|") == b"A|MM1|GATE|1|20261122-12:00:00.000000"
    assert signed(text) == "IhlgIH7fLGQUod8qXpb5aLvSYSb7pdPstBdlC1GY1Qk1/HxsNBFNQqnhMGuW1RRp4QRJV3rxE7M8od/6/HCXCg=="


def test_session_logon_signs_key_challenge_and_time() -> None:
    text = ws_logon_text("key-demo-1", "9f1c2ab07d5e4c33", 1795348800005000)
    assert text == b"session.logon\nkey-demo-1\n9f1c2ab07d5e4c33\n1795348800005000"
    assert signed(text) == "oX2b9P3jXTUd6shDIkOvJjaakjvpZJkwoXYF1Gau2Vyu1eWEPaNk5IQJisu2MoDoXc+U0juDvngIMQ11wA/DDA=="


def test_a_shared_secret_is_decoded_from_base64_before_it_signs() -> None:
    secret = base64.b64decode("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    fix = fix_logon_text({34: "1", 49: "MM1", 52: "20261122-12:00:00.000000", 56: "GATE"})
    ws = ws_logon_text("key-demo-1", "9f1c2ab07d5e4c33", 1795348800005000)
    signed = [base64.b64encode(hmac.digest(secret, text, "sha256")) for text in (fix, ws)]
    assert signed == [b"a8Ls2owI5Up2B1jqr9RWtXD68loLxplZvprdblCGArA=", b"27n8AqXHqasftEihk4AMbbl0lH1XHiHOPTq4SVpTYxE="]


def test_the_header_logon_signs_the_same_text_with_an_empty_challenge() -> None:
    assert ws_header_text("key-demo-1", 7) == b"session.logon\nkey-demo-1\n\n7"


def test_text_that_no_key_can_have_is_signed_over_without_a_crash() -> None:
    assert ws_header_text("k\udcff", 7) == b"session.logon\nk?\n\n7"
    assert fix_logon_text({49: "М", 56: "G", 34: "1", 52: "t"}) == b"A\x01?\x01G\x011\x01t"
