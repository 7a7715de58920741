"""Every JSON sample of the contract decodes into the Struct it names, strictly, and encodes to the same again.

Modules: ws.schema, ws.results.
"""

import json
from typing import Any

import msgspec
import pytest

from protocols.ws.codec import JSON, MSGPACK
from protocols.ws.results import EVENTS, METHODS, EventWire, LegResult, LimitBlock, Response
from protocols.ws.schema import BatchParams, Params
from tests.support.ws_samples import OF, SAMPLES

# A sample whose method is not served yet: only its envelope is checked.
NOT_SERVED = {"quote.mass"}


def strictly(value: Any, shape: type) -> Any:
    """`value` as a `shape` that has a place for everything in it."""
    made = msgspec.convert(value, shape)
    assert json.loads(JSON.encode(made)) == value, "something of the sample has no place in the Struct"
    return made


def test_the_samples_are_all_there() -> None:
    assert sum(map(len, OF.values())) == len(SAMPLES) == 24
    assert {json.loads(body)["method"] for body in OF["Request"]} - METHODS.keys() == NOT_SERVED


@pytest.mark.parametrize("body", OF["Request"])
def test_a_request_decodes_from_json_and_from_msgpack_alike(body: str) -> None:
    plain = json.loads(body)
    request = JSON.request(body.encode())
    assert (request.id, request.method) == (plain["id"], plain["method"])
    packed = msgspec.msgpack.encode(plain)
    again = MSGPACK.request(packed)
    if request.method in NOT_SERVED:
        assert (again.id, again.method) == (request.id, request.method)
        return
    params = JSON.params(request, body.encode())
    assert isinstance(params, Params | BatchParams)
    assert MSGPACK.params(again, packed) == params


@pytest.mark.parametrize("body", OF["Response"])
def test_a_response_fits_its_struct_and_so_does_its_result(body: str) -> None:
    plain = json.loads(body)
    response = strictly(plain, Response)
    assert (response.result is msgspec.UNSET) != (response.error is msgspec.UNSET)
    if response.result is not msgspec.UNSET:
        strictly(response.result, _result_shape(plain["id"]))
    assert json.loads(JSON.encode(response)) == plain
    assert msgspec.msgpack.decode(MSGPACK.encode(response)) == plain


def _result_shape(request_id: object) -> type:
    (method,) = {json.loads(body)["method"] for body in OF["Request"] if json.loads(body)["id"] == request_id}
    shape = METHODS[method].result
    assert shape is not None
    return shape


@pytest.mark.parametrize("body", OF["EventWire"])
def test_an_event_fits_its_struct_and_so_does_its_data(body: str) -> None:
    plain = json.loads(body)
    strictly(plain, EventWire)
    strictly(plain["data"], EVENTS[plain["ev"]])


def test_a_batch_answers_each_leg_separately() -> None:
    (batch,) = (plain for plain in map(json.loads, OF["Response"]) if plain["id"] == 15)
    done, refused = (strictly(leg, LegResult) for leg in batch["result"]["legs"])
    assert (done.status, done.error) == (200, msgspec.UNSET)
    assert (refused.status, refused.error.code) == (422, 4005)


def test_a_bucket_counted_without_its_store_or_in_shadow_says_so() -> None:
    block = LimitBlock(name="orders", scope="account", capacity=1, rate=0.5, degraded=True, mode="shadow")
    assert json.loads(JSON.encode(block)) == {
        "name": "orders",
        "scope": "account",
        "capacity": 1,
        "rate": 0.5,
        "degraded": True,
        "mode": "shadow",
    }
