"""What errors of Redis are called, and whose trouble they are. What a server really says is in test_redis_store.py."""

import msgspec
import pytest
from redis import exceptions

from limits.redis_trouble import REASONS, is_everybodys, trouble_of


@pytest.mark.parametrize(
    ("error", "reason", "is_for_all", "is_undone"),
    [
        (TimeoutError(), "timeout", True, False),
        (exceptions.ConnectionError("Connection closed by server."), "connection", True, False),
        (OSError(104, "Connection reset by peer"), "connection", True, False),
        (AttributeError("'NoneType' object has no attribute 'write'"), "connection", True, False),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading", True, False),
        (exceptions.ConnectionError("max number of clients reached"), "too_many_clients", True, False),
        (exceptions.AuthenticationError("WRONGPASS invalid username-password pair"), "wrong_password", True, False),
        (exceptions.AuthenticationError("Authentication required."), "wrong_password", True, False),
        (exceptions.ConnectionError("Authentication required."), "wrong_password", True, False),
        (exceptions.OutOfMemoryError("command not allowed"), "out_of_memory", True, True),
        (exceptions.ReadOnlyError("You can't write"), "read_only", True, True),
        (exceptions.MasterDownError("Link with MASTER is down"), "cluster_down", True, True),
        (exceptions.ClusterDownError("The cluster is down"), "cluster_down", True, True),
        (exceptions.SlotNotCoveredError("Slot 5 is not covered"), "cluster_down", True, False),
        (exceptions.ResponseError("BUSY Redis is busy running a script"), "busy", True, True),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file"), "write_failed", True, True),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas"), "no_replicas", True, True),
        (
            exceptions.NoPermissionError("User x has no permissions to run the 'evalsha' command"),
            "no_permission",
            True,
            True,
        ),
        (
            exceptions.ResponseError("ERR ACL failure in script: no permissions to run 'hset'"),
            "no_permission",
            True,
            True,
        ),
        (exceptions.NoPermissionError("No permissions to access a key"), "no_permission", False, True),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), "wrong_type", False, True),
        (exceptions.ResponseError("ERR user_script:1: attempt to compare nil"), "refused", False, True),
        (exceptions.AskError("5 127.0.0.1:7000"), "moving", False, True),
        (exceptions.TryAgainError("Multiple keys request during rehashing of slot"), "moving", False, True),
        (exceptions.ClusterCrossSlotError("Keys in request don't hash"), "moving", False, True),
        (exceptions.ClusterError("TTL exhausted."), "moving", False, False),
        (msgspec.DecodeError("Input data was truncated"), "nonsense", True, False),
    ],
    ids=repr,
)
def test_an_error_is_called_what_it_is(error, reason, is_for_all, is_undone):
    trouble = trouble_of(error)
    assert (trouble.reason, is_everybodys(trouble), trouble.is_undone) == (reason, is_for_all, is_undone)
    assert trouble.reason in REASONS
    assert trouble.text


def test_the_code_that_the_client_takes_off_is_put_back_and_a_text_is_bounded():
    trouble = trouble_of(exceptions.OutOfMemoryError("command not allowed", status_code="OOM"))
    assert trouble.text == "OOM command not allowed"
    assert len(trouble_of(exceptions.ResponseError("x" * 5_000)).text) == 200
