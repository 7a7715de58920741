import json

from tests.bench.cost import BUDGET, excesses
from tests.bench.cost_flow import FLOWS
from tests.bench.cost_stages import STAGES

_BUDGET = {"fix/rest 1x64": {"total": 300_000, "parse": 60_000}}


def test_the_budget_has_every_flow_with_its_total_and_its_stages() -> None:
    flows = json.loads(BUDGET.read_text())["flows"]
    assert set(flows) == set(FLOWS)
    for parts in flows.values():
        assert set(parts) == {"total", *STAGES}
        assert all(count > 0 for count in parts.values())


def test_what_costs_5_percent_more_is_within_the_budget() -> None:
    assert excesses(_BUDGET, {"fix/rest 1x64": {"total": 315_000, "parse": 63_000}}) == []


def test_a_stage_that_costs_more_is_named_though_the_total_is_within() -> None:
    assert excesses(_BUDGET, {"fix/rest 1x64": {"total": 304_000, "parse": 64_000}}) == [
        "fix/rest 1x64, parse: 64,000 instructions per order, +6.7% of 60,000"
    ]


def test_a_flow_without_a_budget_is_not_within_it() -> None:
    assert excesses(_BUDGET, {"ws/rest 1x64": {"total": 1}}) == ["ws/rest 1x64, total: has no budget"]
