"""A sound core keeps every promise, and each wrong core breaks its own and no other.

Modules: remote.conform.dialogues, remote.conform.gateways, remote.conform.replaces,
remote.conform.restarts, remote.conform.store.
"""

from contextlib import asynccontextmanager

import pytest

from gateway.remote.conform.examine import ExamTerms, examine
from gateway.remote.conform.promises import PROMISES
from gateway.remote.pipe import address_of
from tests.support import wrong_cores
from tests.support.redis_server import RedisServer
from tests.support.wrong_cores import KEYS, PlainCore

ALL = [promise.name for promise in PROMISES]
WRONG = {
    wrong_cores.AnswersTwice: "answers",
    wrong_cores.AnswersCancelsTwice: "answers",
    wrong_cores.ForgetsIds: "once",
    wrong_cores.SkipsANumber: "numbers",
    wrong_cores.Reorders: "order",
    wrong_cores.IgnoresDeadlines: "deadline",
    wrong_cores.ForgetsAtMassCancel: "mass-cancel",
    wrong_cores.LosesTheTail: "tail",
    wrong_cores.SaysYesTooEarly: "durable",
    wrong_cores.HasOtherIdsInItsSecondLife: "second-life",
    wrong_cores.ReadsItsOwnClock: "second-life",
    wrong_cores.TurnsAQueueRound: "second-life",
    wrong_cores.ForgetsNames: "names",
    wrong_cores.TakesNoGap: "lanes",
    wrong_cores.AcknowledgesWhatItDid: "acknowledged",
    wrong_cores.NamesTheMaker: "causes",
    wrong_cores.WelcomesWithoutOrders: "hello",
    wrong_cores.TellsWhoAskedAlone: "hosts",
    wrong_cores.ForgetsToLeave: "join",
    wrong_cores.JoinsAccountsWithEventsOnly: "join",
    wrong_cores.ReplacesWhatIsLeft: "replace",
    wrong_cores.ReplacesWithoutTrading: "replace",
    wrong_cores.PlacesLateOrders: "late-order",
    wrong_cores.ExecutesHalfAnEntry: "error",
}


@pytest.fixture(scope="module")
def store():
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def running(core):
    await core.start()
    try:
        yield core
    finally:
        await core.kill()


def terms_of(store, restart=None, names=()):
    store.client().flushall()
    return ExamTerms(KEYS, address_of(store.unix_url), 900_000_001, 0, 10.0, 10.0, restart, False, names)


async def verdicts_of(store, core):
    terms, verdicts = terms_of(store, core.restart), []
    async with running(core):
        await examine(terms, lambda said: None, verdicts.append)
    assert [verdict.promise for verdict in verdicts] == ALL
    return verdicts


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
async def test_a_sound_core_keeps_every_promise_in_both_encodings(store, encoding):
    verdicts = await verdicts_of(store, PlainCore(address_of(store.unix_url), encoding))
    assert [verdict for verdict in verdicts if verdict.state != "kept"] == []


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
async def test_a_wrong_core_breaks_its_own_promise_and_no_other(store, wrong):
    verdicts = await verdicts_of(store, wrong(address_of(store.unix_url)))
    broken = [verdict for verdict in verdicts if verdict.state != "kept"]
    assert [(verdict.promise, verdict.state) for verdict in broken] == [(WRONG[wrong], "broken")], broken
    assert broken[0].expected
    assert broken[0].seen


def test_every_promise_has_a_core_that_breaks_it():
    assert set(WRONG.values()) == set(ALL)
