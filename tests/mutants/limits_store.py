"""Mistakes in how limits live with a store that is not well: debts, its clock, loads, shadows, buckets in trouble.

The twin's are judged by what they admit, the script's by its twin; see `tests.mutants.limits`.
"""

from tests.mutants.limits import BOUND, LOCAL, STORE, TWIN
from tests.mutants.plant import Mutant

SHADOW = ("tests/limits/test_shadow.py",)
DESK = ("tests/limits/test_overrides.py", "tests/gateway/cli/test_limits.py")
DOORS = ("tests/e2e/test_shared_limits.py",)
TROUBLE = ("tests/limits/test_redis_trouble.py", *STORE)

_LEDGER, _LEASE, _SHARED, _SCRIPT = (
    "tests/support/ledger.py",
    "limits/lease.py",
    "limits/shared.py",
    "limits/bucket.lua",
)
_EXCHANGE, _SHADOW, _REDIS, _GATEWAY = (
    "limits/lease_batcher.py",
    "limits/shadow.py",
    "limits/redis_store.py",
    "gateway/limiting/redis_service.py",
)

MUTANTS = (
    # -- debts -----------------------------------------------------------------------------------------------------
    Mutant(
        "a debt is forgiven when another node came back first",
        _LEDGER,
        "self.level = max(self.level - max(0, debt - used_us * self.amount), self.capacity - MAX_UNITS)",
        "self.level = max(self.level - max(0, debt - used_us * self.amount), 0)",
        BOUND,
    ),
    Mutant(
        "the same in the script",
        _SCRIPT,
        "b.level = math.max(b.level - math.max(0, debt - used * b.amount), b.capacity - MAX_UNITS)",
        "b.level = math.max(b.level - math.max(0, debt - used * b.amount), 0)",
        TWIN,
    ),
    Mutant(
        "a debt whose outcome is unknown is paid twice",
        _LEDGER,
        "paid_milli = max(ask.paid_milli, before.paid_milli)",
        "paid_milli = ask.paid_milli",
        BOUND,
    ),
    Mutant(
        "what the node knows to be paid counts for nothing",
        _LEDGER,
        "paid_milli = max(ask.paid_milli, before.paid_milli)",
        "paid_milli = before.paid_milli",
        BOUND,
    ),
    Mutant("debts are not told", _LEASE, "            self.owed_milli += cost_milli\n", "", BOUND),
    Mutant(
        "a debt that was told counts as paid before the answer",
        _LEASE,
        "        self.paid_milli = max(self.paid_milli, ask.owed_milli)\n",
        "        self.paid_milli = self.owed_milli\n",
        BOUND,
    ),
    Mutant(
        "time that brought nothing pays no debt",
        _LEDGER,
        "used_us = min(max(0, self.spare_us - terms.spare_us), -(-debt // self.amount))",
        "pass",
        BOUND,
    ),
    Mutant("time that brought nothing pays twice", _LEDGER, "        self.spare_us -= used_us\n", "", BOUND),
    Mutant(
        "time that brought nothing before the node went away pays too",
        _LEDGER,
        "max(0, self.spare_us - terms.spare_us)",
        "self.spare_us",
        BOUND,
    ),
    Mutant(
        "who has never seen a bucket pays out of all time",
        _LEDGER,
        "        if terms.seen_us:\n",
        "        if True:\n",
        BOUND,
    ),
    Mutant("spare time is not written", _SCRIPT, "'spare', b.spare, 'plan'", "'spare', b.as_of, 'plan'", TWIN),
    Mutant(
        "debts wait until somebody trades",
        _EXCHANGE,
        "        if self._beat_us and now_us >= self._beat_us:\n            self._beat(now_us)\n",
        "",
        BOUND,
    ),
    Mutant(
        "a strict decision goes before what is owed",
        _EXCHANGE,
        "owing = [i for i, lease in enumerate(buckets) if lease in self._unsettled and not lease.in_flight]",
        "owing: list[int] = []",
        BOUND,
    ),
    Mutant(
        "the share of an outage is that of the one before",
        _LEASE,
        "        self.fallback = None\n        self.is_troubled = False\n",
        "        self.is_troubled = False\n",
        BOUND,
    ),
    # -- the store's clock -----------------------------------------------------------------------------------------
    Mutant(
        "a clock that was ahead freezes buckets until it is there again",
        _LEDGER,
        "ahead_us = max(0, self.as_of_us - clock_us - self.fills_us)",
        "ahead_us = 0",
        BOUND,
    ),
    Mutant(
        "a clock set back refills twice, in the twin",
        _LEDGER,
        "ahead_us = max(0, self.as_of_us - clock_us - self.fills_us)",
        "ahead_us = max(0, self.as_of_us - clock_us)",
        BOUND,
    ),
    Mutant(
        "leases of a clock that was ahead stay out",
        _LEDGER,
        "        self.shift(-ahead_us)\n",
        "",
        BOUND,
    ),
    Mutant(
        "a lease is over early where another node remembers a later clock",
        _LEDGER,
        "                ledger.shift(max(0, terms.seen_us - max(clock_us, ledger.as_of_us)))\n",
        "",
        BOUND,
    ),
    Mutant(
        "a lease is over early in the script where another node remembers a later clock",
        _SCRIPT,
        "      shift(b, math.max(0, seen - math.max(clock, b.as_of)))\n",
        "",
        TWIN,
    ),
    Mutant("pulled back, and not written", _SCRIPT, "      b.touched[node] = true\n", "", TWIN),
    Mutant(
        "who remembers a clock that was ahead empties the bucket",
        _LEDGER,
        "if ledger.as_of_us < terms.seen_us <= clock_us + ledger.fills_us:",
        "if ledger.as_of_us < terms.seen_us:",
        BOUND,
    ),
    Mutant(
        "who remembers what was pulled back forgives the debts in it",
        _LEDGER,
        "ledger.level = min(ledger.level, terms.level_milli * ledger.milli, 0)",
        "ledger.level = min(terms.level_milli * ledger.milli, 0)",
        BOUND,
    ),
    Mutant(
        "what was remembered of a clock that was ahead is remembered for ever",
        _LEASE,
        "if state.as_of_us >= newest_us or asked_us == newest_us:",
        "if state.as_of_us >= newest_us:",
        BOUND,
    ),
    Mutant(
        "an earlier state that comes late is believed",
        _LEASE,
        "if state.as_of_us >= newest_us or asked_us == newest_us:",
        "if True:",
        BOUND,
    ),
    Mutant(
        "cancels wait for a clock that was put right",
        _SHARED,
        ' or (wait_us and bucket.is_astray and name == "cancels")',
        "",
        BOUND,
    ),
    Mutant(
        "a clock that was put right is not told",
        _EXCHANGE,
        "            if state.pulled_us:\n",
        "            if False:\n",
        BOUND,
    ),
    # -- loads -----------------------------------------------------------------------------------------------------
    Mutant(
        "a narrow plan is forgotten as soon as it is full",
        _LEDGER,
        "self.expires_us[key] = max(state.expires_us, lives_us)",
        "self.expires_us[key] = state.expires_us",
        BOUND,
    ),
    Mutant("the same in the script", _SCRIPT, "pulled = 0, lives = 'GT' }", "pulled = 0, lives = 'XX' }", TWIN),
    Mutant("a clock put right keeps keys for ever", _SCRIPT, "ahead, 'LT'\n", "ahead, 'GT'\n", TWIN),
    Mutant("a load has the number of the one before", _SHARED, "self._load = max(self._load, number)", "pass", BOUND),
    Mutant(
        "limits that were put in force are not numbered",
        _GATEWAY,
        "        if not await self._number():\n",
        "        if False:\n",
        DOORS,
    ),
    Mutant(
        "numbers of loads do not outlive what the store forgets",
        "limits/redis_desk.py",
        "math.max(last + 1, redis.call('TIME')[1])",
        "last + 1",
        DESK,
    ),
    # -- limits that only count ------------------------------------------------------------------------------------
    Mutant(
        "an action whose tokens must be fetched is never judged",
        _SHADOW,
        "        row.append(Judgement(name, cost_milli, instrument, debit))\n",
        "",
        SHADOW,
    ),
    Mutant("actions overtake those that wait", _SHADOW, "        if row is None:\n", "        if True:\n", SHADOW),
    Mutant("what was withdrawn is judged", _SHADOW, 'if debit.state != "withdrawn":', "if True:", SHADOW),
    Mutant(
        "shadow limits get back what they have not paid",
        _SHARED,
        'and (shadow is None or shadow.state == "paid")',
        "",
        SHADOW,
    ),
    Mutant(
        "the same in process",
        "limits/local.py",
        "route.binding if shadow is not None else (*route.binding, *route.shadow)",
        "(*route.binding, *route.shadow)",
        (*SHADOW, *LOCAL),
    ),
    Mutant(
        "what the store decides is not counted in shadow",
        "limits/shared_route.py",
        "_route(counts, (), shadow, None) if shadow else None",
        "_route(counts, (), [each for each in shadow if not getattr(each.bucket, 'is_strict', False)], None)",
        SHADOW,
    ),
    # -- one bucket in trouble -------------------------------------------------------------------------------------
    Mutant(
        "one bucket in trouble is an outage for all",
        _REDIS,
        "self._failed_in_a_row + 1 if is_everybodys(trouble) else 0",
        "99",
        STORE,
    ),
    Mutant(
        "whose trouble it is is not found out",
        _EXCHANGE,
        "if isinstance(outcome, Trouble) and outcome.is_undone and is_many:",
        "if False:",
        BOUND,
    ),
    Mutant(
        "a call with an unknown outcome is sent again",
        _EXCHANGE,
        "if isinstance(outcome, Trouble) and outcome.is_undone and is_many:",
        "if isinstance(outcome, Trouble) and is_many:",
        BOUND,
    ),
    Mutant(
        "a bucket in trouble makes wait",
        _SHARED,
        "return self.batcher.is_away or lease.is_troubled",
        "return self.batcher.is_away",
        BOUND,
    ),
    Mutant(
        "a bucket in trouble is never tried again",
        _EXCHANGE,
        "self._returning |= dict.fromkeys(troubled[:_TRIED_AT_ONCE])",
        "pass",
        BOUND,
    ),
    Mutant(
        "all buckets in trouble are tried at once",
        _EXCHANGE,
        "dict.fromkeys(troubled[:_TRIED_AT_ONCE])",
        "dict.fromkeys(troubled)",
        BOUND,
    ),
    Mutant(
        "a number taken for an old one is waited for",
        _EXCHANGE,
        "                self._trouble(bucket, _OLD_NUMBER)\n",
        "                pass\n",
        BOUND,
    ),
    Mutant(
        "keys of a slot that moves are asked together",
        _EXCHANGE,
        "most = 1 if self._store.is_cluster else MAX_BUCKETS",
        "most = MAX_BUCKETS",
        BOUND,
    ),
    Mutant(
        "the probe asks for less than a decision does",
        _REDIS,
        "        await self._evaluate([_PROBE_KEY], _PROBE)\n",
        "        await self._client.ping()\n",
        STORE,
    ),
    Mutant(
        "an answer to another call is taken",
        _REDIS,
        'raise msgspec.ValidationError("the answer is not one to this call")',
        "pass",
        STORE,
    ),
    Mutant(
        "a reason that changes is not told",
        _REDIS,
        "if before is None or before.reason != trouble.reason:",
        "if before is None:",
        STORE,
    ),
    Mutant(
        "a missing right for one key is everybody's",
        "limits/redis_trouble.py",
        'return "key" not in trouble.text',
        "return True",
        TROUBLE,
    ),
    # -- operators -------------------------------------------------------------------------------------------------
    Mutant(
        "the end of an override is reckoned by the gateway's clock",
        _GATEWAY,
        "(self._ahead_ns + self._now_ns()) // NS_PER_S",
        "self._now_ns() // NS_PER_S",
        DOORS,
    ),
    Mutant(
        "an override ends only while the store is there",
        _GATEWAY,
        "        if self._ahead_ns is not None:\n",
        "        if self._ahead_ns is not None and not self._store.is_away:\n",
        DOORS,
    ),
    Mutant(
        "the end of an override is reckoned by the operator's clock",
        "gateway/cli/limits_live.py",
        "now_s = await desk.now_s()\n        await desk.put",
        "now_s = int(__import__('time').time())\n        await desk.put",
        DESK,
    ),
)
