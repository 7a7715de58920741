"""Seeded bugs of the limiter, each a small edit that breaks one rule; a test run must fail on every one.

`Mutant.text` must occur exactly once in its file, so a change of the code that loses one is noticed. The twin's mutants
are judged without the comparison with the script: it is the window bound that must catch them, not the difference.
"""

from tests.mutants.plant import Mutant

BOUND = ("tests/limits/test_lease.py", "tests/limits/test_shared.py", "tests/limits/test_lease_batcher.py")
TWIN = ("tests/limits/test_bucket_lua.py",)
LOCAL = ("tests/limits/test_bucket.py", "tests/limits/test_local.py")
STORE = ("tests/limits/test_redis_store.py",)
RUNS = ("tests/limits/test_take_run.py",)


_LEDGER, _LEASE, _SHARED, _SCRIPT = (
    "tests/support/ledger.py",
    "limits/lease.py",
    "limits/shared.py",
    "limits/bucket.lua",
)

MUTANTS = (
    # -- the shared bucket -----------------------------------------------------------------------------------------
    Mutant("old numbers are carried out again", _LEDGER, "ask.seq <= before.seq", "ask.seq < 0", BOUND),
    Mutant(
        "refill is clamped on the newly reported amount, not on the recorded one",
        _LEDGER,
        "        opened = [self._open(",
        "        for ask in batch.asks:\n"
        "            old = self.by_key.get(keys[ask.bucket])\n"
        "            if old is not None and ask.node in old.nodes and ask.seq > old.nodes[ask.node].seq:\n"
        "                record = old.nodes[ask.node]\n"
        "                record.held_milli = min(record.held_milli, ask.left_milli + ask.back_milli)\n"
        "        opened = [self._open(",
        BOUND,
    ),
    Mutant(
        "refill takes no notice of what is out",
        _LEDGER,
        "return max(0, self.capacity - self.out_milli * self.milli)",
        "return self.capacity",
        BOUND,
    ),
    Mutant(
        "expired counts as returned",
        _LEDGER,
        "            record.held_milli = 0\n",
        "            self.level += record.held_milli * self.milli\n            record.held_milli = 0\n",
        BOUND,
    ),
    Mutant(
        "an expired lease takes no room before its expiry",
        _LEDGER,
        "            self.refill(record.expiry_us)\n",
        "",
        BOUND,
    ),
    Mutant(
        "a return counts beyond the record",
        _LEDGER,
        "returned = min(held, ask.back_milli)",
        "returned = ask.back_milli",
        BOUND,
    ),
    Mutant(
        "what is returned stays on record",
        _LEDGER,
        "        held -= returned\n",
        "",
        BOUND,
    ),
    Mutant(
        "what is spent stays on record",
        _LEDGER,
        "held = min(before.held_milli, ask.left_milli + ask.back_milli)",
        "held = before.held_milli",
        BOUND,
    ),
    Mutant(
        "a change of plan fills the bucket",
        _LEDGER,
        "self.level = min(level_milli * self.milli, self.room)",
        "self.level = self.room",
        BOUND,
    ),
    Mutant(
        "granted, not debited",
        _LEDGER,
        "self.level -= granted * self.period_us",
        "pass",
        BOUND,
    ),
    Mutant(
        "granted, not recorded",
        _LEDGER,
        "        record.held_milli += granted * MILLI\n        return Grant(granted, wait_us, record.held_milli)",
        "        return Grant(granted, wait_us, record.held_milli + granted * MILLI)",
        BOUND,
    ),
    Mutant("a lease ends early in the store", _LEDGER, "now_us + ask.ttl_us", "now_us + ask.ttl_us // 2", BOUND),
    Mutant(
        "refunds and returns fill beyond the room",
        _LEDGER,
        "self.level = min(self.level + (returned + ask.refund_milli) * self.milli, self.room)",
        "self.level += (returned + ask.refund_milli) * self.milli",
        BOUND,
    ),
    Mutant(
        "lost data fills the bucket",
        _LEDGER,
        "most = 0 if clock_us < terms.expires_us else ledger.capacity",
        "most = ledger.capacity",
        BOUND,
    ),
    Mutant(
        "an older state is believed",
        _LEDGER,
        "if ledger.as_of_us < terms.seen_us <= ",
        "if terms.seen_us < 0 <= ",
        BOUND,
    ),
    Mutant(
        "a node may lease all there is",
        _LEDGER,
        "share = self.burst // (2 * holders)",
        "share = self.burst",
        (*BOUND, *TWIN),
    ),
    Mutant(
        "levels pay one by one",
        _LEDGER,
        "    if longest == 0:\n        for ledger in levels:\n            ledger",
        "    for ledger in levels:\n        if ledger.wait_us(cost_milli, clock_us) == 0:\n            ledger",
        BOUND,
    ),
    # -- the script ------------------------------------------------------------------------------------------------
    Mutant(
        "the TTL is rounded down",
        _SCRIPT,
        "math.ceil((latest - clock + full_us) / 1000) + 1",
        "math.floor((latest - clock + full_us) / 1000)",
        TWIN,
    ),
    Mutant("the TTL forgets the leases", _SCRIPT, "latest = record.expiry\n", "latest = b.now\n", TWIN),
    Mutant(
        "a clock set back refills twice",
        _SCRIPT,
        "b.now = math.max(clock, b.as_of)",
        "b.now, b.as_of = clock, math.min(clock, b.as_of)",
        TWIN,
    ),
    Mutant("the wait is rounded down", _SCRIPT, "math.ceil((need - b.level)", "math.floor((need - b.level)", TWIN),
    Mutant("an older load wins", _SCRIPT, "if load < b.load then", "if false then", TWIN),
    Mutant("an expiry is not written", _SCRIPT, "    b.touched[holder] = true\n", "", TWIN),
    Mutant("numbers are never forgotten", _SCRIPT, "if #gone > 0 then", "if false then", TWIN),
    # -- the node --------------------------------------------------------------------------------------------------
    Mutant(
        "credit before the store has debited",
        _LEASE,
        "*reported, want, need, TTL_US)\n        return ask",
        "*reported, want, need, TTL_US)\n        self.left_milli += want * MILLI\n        return ask",
        BOUND,
    ),
    Mutant(
        "the deadline counts from the answer",
        _LEASE,
        "self.deadline_us = self.sent_us + _USED_US",
        "self.deadline_us = now_us + _USED_US",
        BOUND,
    ),
    Mutant("a lease is used to its last moment", _LEASE, "TTL_US * 9 // 10", "TTL_US", BOUND),
    Mutant(
        "an answer nobody waits for is credited",
        _LEASE,
        "        if ask is not self._ask:\n            return True\n",
        "",
        BOUND,
    ),
    Mutant(
        "tokens come back beyond the record",
        _LEASE,
        "kept = min(cost_milli, self.bound_milli - self.left_milli)",
        "kept = cost_milli",
        BOUND,
    ),
    Mutant("the record is not lowered by an ask", _LEASE, "self.bound_milli = self.left_milli\n", "pass\n", BOUND),
    Mutant(
        "a refund is sent again",
        _LEASE,
        "refund_milli, self.refund_milli = self.refund_milli, 0",
        "refund_milli = self.refund_milli",
        BOUND,
    ),
    Mutant(
        "an ended lease is spent on",
        _LEASE,
        "return self.left_milli >= cost_milli and now_us < self.deadline_us",
        "return self.left_milli >= cost_milli",
        BOUND,
    ),
    Mutant(
        "what is handed back is kept",
        _LEASE,
        "back_milli, self.left_milli = self.left_milli, 0",
        "back_milli = self.left_milli",
        BOUND,
    ),
    Mutant(
        "a renewal revives what the store counts as spent",
        _LEASE,
        "min(self.left_milli, grant.held_milli - granted_milli) + granted_milli",
        "self.left_milli + granted_milli",
        BOUND,
    ),
    Mutant("a denial is not remembered", _LEASE, "return self.deny_until_us - now_us", "return 0", BOUND),
    Mutant(
        "without a store the share is the whole rate",
        _LEASE,
        "rate.period_us * self._nodes",
        "rate.period_us",
        BOUND,
    ),
    Mutant(
        "without a store the share starts full",
        _LEASE,
        "self.fallback.level, self.fallback.as_of_us = 0, now_us",
        "self.fallback.as_of_us = now_us",
        BOUND,
    ),
    Mutant("numbers do not rise", _LEASE, "        self.seq += 1\n", "        self.seq = 1\n", BOUND),
    # -- the limiter -----------------------------------------------------------------------------------------------
    Mutant(
        "a strict yes that another level refuses is not paid back",
        _SHARED,
        "            self._refund(decision, now_us)\n        return verdict",
        "            pass\n        return verdict",
        BOUND,
    ),
    Mutant(
        "a decision nobody comes for is kept",
        _SHARED,
        "            del self._open_decisions[decision]\n            self._refund(decision, now_us)\n",
        "            break\n",
        BOUND,
    ),
    Mutant("cancels wait for the store", _SHARED, '"allow" if name == "cancels" else ', "", BOUND),
    Mutant(
        "waiting for a store that is away",
        "limits/lease_batcher.py",
        "        if self._store.is_away:\n            for decision",
        "        if False:\n            for decision",
        (*BOUND, *STORE),
    ),
    Mutant(
        "one level is debited though another refuses",
        "limits/local.py",
        "            if not bucket.fits(cost_milli, now_us):\n                return",
        "            bucket.level -= 1\n            if not bucket.fits(cost_milli, now_us):\n                return",
        LOCAL,
    ),
    Mutant("time lived twice refills twice", "limits/bucket.py", "if elapsed > 0:", "if elapsed:", LOCAL),
    Mutant(
        "every call waits for its own time-out",
        "limits/redis_store.py",
        "                done(None)\n",
        "                pass\n",
        STORE,
    ),
    # -- a run of actions --------------------------------------------------------------------------------------------
    Mutant(
        "a run is debited as one action",
        "limits/local.py",
        "append((route, total_milli))",
        "append((route, cost_milli))",
        RUNS,
    ),
    Mutant(
        "a run needs the tokens of one action",
        _SHARED,
        "total_milli = cost_milli * count",
        "total_milli = cost_milli",
        RUNS,
    ),
    Mutant("a cool-down does not stop a run", "limits/local.py", "if is_cooling and", "if False and", RUNS),
    Mutant("a cool-down stops no run of shared limits", _SHARED, "if is_cooling and any(", "if False and any(", RUNS),
    Mutant("a run passes actions still to be judged", _SHARED, "self._shadows.is_waiting(path) or ", "", RUNS),
    Mutant("a run asks no store", _SHARED, "return not route.strict and all(", "return all(", RUNS),
    Mutant(
        "a run pays no shadow limit",
        _SHARED,
        "for level in route.shadow.binding:\n                    self._debit",
        "for level in ():\n                    self._debit",
        RUNS,
    ),
)
