"""URLs of the store of limits: sound, or named with what mends them, and never with a part of a password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limits.redis_link import connect
from limits.redis_url import why_not

SOUND = [
    "redis://localhost",
    "redis://127.0.0.1:6379/0",
    "redis://127.0.0.1:6379/",
    "redis://[::1]:6379/15",
    "redis:///3",
    "rediss://limits.example:6380/0?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=true",
    "redis://:Tr0ub4dor%233@127.0.0.1:6379/0",
    "redis://user:a:b@127.0.0.1",
    "redis://u%40x:p%2Fw@h/0",
    "redis://user:p@ss@h:6379/0",
    "unix:///run/redis.sock?db=2",
    "unix://:pw@/run/redis.sock",
]
MISTAKEN = [
    ("", "is no URL"),
    ("localhost:6379", "is no URL: write it like redis://HOST:6379/0"),
    ("127.0.0.1", "is no URL"),
    ("http://127.0.0.1:6379", "http:// is not served"),
    ("redis+sentinel://127.0.0.1:26379/mymaster", "name the primary itself"),
    ("redis://127.0.0.1:port/0", "the port must be 1 to 65535"),
    ("redis://127.0.0.1:0/0", "the port must be 1 to 65535"),
    ("redis://127.0.0.1:65536/0", "the port must be 1 to 65535"),
    ("redis://127.0.0.1:6379/mymaster", "must be the number of a database"),
    ("redis://127.0.0.1:6379/0#x", "has a #"),
    ("redis://127.0.0.1:6379/0?timeout=3", "timeout is no option here"),
    ("redis://127.0.0.1:6379/0?socket_timeout=3", "see store_timeout_ms"),
    ("redis://127.0.0.1:6379/0?x", "cannot be read"),
    ("redis://127.0.0.1:6379?db=first", "the option db must be the number"),
    ("redis://a b:6379", "has a character that a URL cannot hold"),
    ("redis://h:6379/0\n", "has a character that a URL cannot hold"),
    ("unix://", "names no socket"),
]


@pytest.mark.parametrize("url", SOUND)
def test_a_sound_url_is_one_that_the_library_takes_too(url: str) -> None:
    assert why_not(url) == ""
    connect(url, 1.0)


@pytest.mark.parametrize(("url", "why"), MISTAKEN)
def test_a_mistake_is_named_with_what_mends_it(url: str, why: str) -> None:
    assert why in why_not(url)


@pytest.mark.parametrize(
    ("password", "coded"),
    [
        ("Tr0ub4dor#3", "# as %23"),
        ("Tr0ub/4dor3", "/ as %2F"),
        ("Tr0ub4dor?x", "? as %3F"),
        ("Tr0ub[4dor", "[ as %5B"),
        ("Tr0ub4dor%zz", "% as %25"),
        ("Tr0ub/4d#or", "/ as %2F, # as %23"),
        ("Tr0ub4dor#3@x", "# as %23"),
    ],
)
@pytest.mark.parametrize("user", ["", "gw"])
def test_a_password_that_is_not_percent_encoded_is_named_and_not_shown(user: str, password: str, coded: str) -> None:
    why = why_not(f"redis://{user}:{password}@127.0.0.1:6379/0")
    assert why == f"the user name or password must be percent-encoded: {coded}"


@given(st.text(max_size=30), st.text("#/?[]%@:ab1", min_size=8, max_size=30))
def test_whatever_a_password_is_no_part_of_it_is_repeated(host: str, password: str) -> None:
    secret = f"S3cret{password}S3cret"
    for url in (
        f"redis://:{secret}@{host}",
        f"redis://{secret}@{host}:x/0",
        f"redis://h:{secret}/0",
        f"redis://h/{secret}",
    ):
        assert "S3cret" not in why_not(url)


@given(st.text(max_size=60))
def test_any_text_is_sound_or_named_and_what_is_sound_is_taken_by_the_library(rest: str) -> None:
    if not why_not(url := f"redis://{rest}"):
        connect(url, 1.0)
