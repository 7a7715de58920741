"""The order path over buckets that only a store of limits may decide."""

from tests.support import order_path, shared_limits

SMALL = """
[plans.standard]
orders = { rate = "1/s", burst = 3 }
cancels = { rate = "1/s", burst = 3 }
queries = { rate = "1/s", burst = 3 }
msgs = { rate = "1/s", burst = 8 }
"""


class World(order_path.World):
    """A road over buckets that only the store may decide; `arrive` brings the store's answers."""

    def __init__(self, limits=SMALL, **knobs):
        self.stores = shared_limits.World()
        self.node = shared_limits.Node(self.stores, shared_limits.policy_of(limits), "n1", 4)
        super().__init__(limiter=self.node.limiter, **knobs)
        self.now_ns = self.stores.now_ns

    def tick(self, ms=0):
        super().tick(ms)
        self.stores.now_ns = self.now_ns
        self.node.end_tick()

    def arrive(self):
        """Whatever is on its way to the store and back is there."""
        self.tick()
        while self.node.store.deliver():
            self.tick()
        self.tick()
