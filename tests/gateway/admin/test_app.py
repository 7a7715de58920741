"""The admin port over real HTTP."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.admin.app import build_admin
from gateway.admin.health import Health
from gateway.admin.scrape import build_registry
from gateway.telemetry.metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def http(health: Health) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    app = build_admin(health, build_registry(Metrics("9")), lambda: {"sessions": {"fix": 2}, 7: "x"})  # type: ignore[dict-item]
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_alive_is_said_even_when_nothing_is_ready(http: TestClient, health: Health) -> None:  # type: ignore[type-arg]
    health.add("core", lambda: "away")
    answer = await http.get("/livez")
    assert (answer.status, await answer.json()) == (200, {"alive": True})


async def test_ready_names_each_reason_why_not_and_recovers_by_itself(http: TestClient, health: Health) -> None:  # type: ignore[type-arg]
    reasons = {"core": "no answer for 3 s", "limits": ""}
    health.add("core", lambda: reasons["core"])
    health.add("limits", lambda: reasons["limits"])
    answer = await http.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "reasons": {"core": "no answer for 3 s"}}
    assert answer.headers["Cache-Control"] == "no-store"
    reasons["core"] = ""
    answer = await http.get("/readyz")
    assert (answer.status, await answer.json()) == (200, {"ready": True, "reasons": {}})


async def test_a_check_that_fails_is_a_reason_and_hides_no_other(http: TestClient, health: Health) -> None:  # type: ignore[type-arg]
    def broken() -> str:
        raise RuntimeError("with a secret in it")

    health.add("broken", broken)
    health.add("draining", lambda: "draining")
    body = await (await http.get("/readyz")).json()
    assert body["reasons"] == {"broken": "check failed: RuntimeError", "draining": "draining"}


@pytest.mark.parametrize(
    "accept", ["", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", "junk/,;"]
)
async def test_metrics_are_served_in_the_format_that_is_asked_for(http: TestClient, accept: str) -> None:  # type: ignore[type-arg]
    answer = await http.get("/metrics", headers={"Accept": accept})
    body = await answer.text()
    assert answer.status == 200
    assert 'penstock_build_info{version="9"} 1.0' in body
    wanted = "application/openmetrics-text" if "openmetrics" in accept else "text/plain"
    assert answer.headers["Content-Type"].startswith(wanted)
    assert body.endswith("# EOF\n") == ("openmetrics" in accept)


async def test_status_is_json_of_any_shape(http: TestClient) -> None:  # type: ignore[type-arg]
    answer = await http.get("/status")
    assert await answer.json() == {"sessions": {"fix": 2}, "7": "x"}
    assert answer.content_type == "application/json"


async def test_nothing_can_be_changed_here(http: TestClient) -> None:  # type: ignore[type-arg]
    for path in ("/livez", "/readyz", "/metrics", "/status"):
        assert (await http.post(path, data=b"x")).status == 405
    assert (await http.get("/")).status == 404
