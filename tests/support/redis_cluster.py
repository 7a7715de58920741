"""A real cluster of a few nodes for tests, each with its part of the slots, and the means to move a slot."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from redis.crc import key_slot

from tests.support.redis_server import RedisServer, redis_server

_SLOTS = 16_384
_FORMS_S = 10
_OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"),
    *("--cluster-require-full-coverage", "no"),  # slots whose node lives are served
)


class RedisCluster:
    """Nodes that know one another. A slot is moved by hand, so that a test may look at every step of it."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        """Of the first node; a client learns of the others by itself."""
        return self.nodes[0].url

    def holder(self, key: str) -> RedisServer:
        """The node that the key's slot was given to at the start."""
        return self.nodes[key_slot(key.encode()) * len(self.nodes) // _SLOTS]

    def begin_move(self, key: str) -> tuple[RedisServer, RedisServer]:
        """From now on the slot of `key` is on its way from the node that has it to another: (from, to)."""
        source = self.holder(key)
        target = next(node for node in self.nodes if node is not source)
        slot = key_slot(key.encode())
        with source.client() as ours, target.client() as theirs:
            theirs.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ours.execute_command("CLUSTER", "MYID"))
            ours.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", theirs.execute_command("CLUSTER", "MYID"))
        return source, target

    def move_keys(self, key: str, source: RedisServer, target: RedisServer, most: int = 100) -> int:
        """Move keys of the slot that is on its way; how many that were."""
        with source.client() as ours:
            keys = ours.execute_command("CLUSTER", "GETKEYSINSLOT", key_slot(key.encode()), most)
            for each in keys:
                ours.execute_command("MIGRATE", "127.0.0.1", target.port, each, 0, 1_000)
        return len(keys)

    def end_move(self, key: str, target: RedisServer) -> None:
        """The slot has a new owner, and everybody is told."""
        with target.client() as theirs:
            owner = theirs.execute_command("CLUSTER", "MYID")
        for node in (target, *self.nodes):
            with node.client() as client:
                client.execute_command("CLUSTER", "SETSLOT", key_slot(key.encode()), "NODE", owner)


@contextmanager
def redis_cluster(nodes: int = 3) -> Iterator[RedisCluster]:
    """A cluster that is ready; it takes some seconds."""
    with ExitStack() as stack:
        servers = [stack.enter_context(redis_server(*_OPTIONS)) for _ in range(nodes)]
        for number, server in enumerate(servers):
            with server.client() as client:
                first, beyond = number * _SLOTS // nodes, (number + 1) * _SLOTS // nodes
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, beyond - 1)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        until = time.monotonic() + _FORMS_S
        while not all(_is_ready(server, nodes) for server in servers):
            assert time.monotonic() < until, "the cluster does not form"
            time.sleep(0.02)
        yield RedisCluster(servers)


def _is_ready(server: RedisServer, nodes: int) -> bool:
    with server.client() as client:
        is_well = b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")
        return is_well and len(client.execute_command("CLUSTER", "SLOTS")) == nodes
