"""The judge of "never lost, never doubled": each way in which the two records can disagree is found, counted once."""

import pytest

from gateway.demo.ledger import CoreRecord, FinishedLedger, Kind, Ledger, Status, compare
from gateway.demo.simulate import DoorStats, FinishedLedgers, LedgerSlice, summarize
from protocols.messages import ExecType, OrderEvent, OrdStatus, OrdType, Side, Tif


def event(cl_ord_id: str, kind: ExecType, leaves_qty: int = 5) -> OrderEvent:
    """One event of the core about an order of 5 lots."""
    status = OrdStatus.NEW if leaves_qty else OrdStatus.FILLED
    head = (1, 1, 1, 1, 1, kind, status, 1, cl_ord_id, 1)
    return OrderEvent(*head, Side.BUY, OrdType.LIMIT, Tif.GTC, 5, 5 - leaves_qty, leaves_qty)


def core(*events: OrderEvent) -> CoreRecord:
    """The record of a core that emitted these."""
    record = CoreRecord()
    record.take(events)
    return record


def account(*states: Status, fills: int = 0) -> FinishedLedger:
    """A finished ledger with requests 1, 2, ... in these states."""
    return FinishedLedger("t", "fix", fills, bytearray([Status.UNUSED, *states]))


NEW, TRADE, CANCELED, REPLACED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.REPLACED


def test_a_run_in_which_every_record_agrees_is_clean() -> None:
    record = core(
        event("t-1", NEW),
        event("t-1", TRADE, 3),
        event("t-2", REPLACED, 4),
        event("t-2", CANCELED, 0),
        event("t-3", ExecType.REJECTED, 0),
    )
    verdict = compare(
        [account(Status.PLACED, Status.REPLACED, Status.REFUSED, Status.CANCELED, fills=1)],
        record,
    )
    assert (verdict.lost, verdict.doubled) == (0, 0)


@pytest.mark.parametrize(
    ("ledger", "record", "where", "count"),
    [
        (account(Status.WAITING), core(), "unanswered", 1),
        (
            account(Status.PLACED, Status.PLACED),
            core(event("t-2", NEW), event("t-2", CANCELED, 0)),
            "missing",
            1,
        ),
        (account(Status.REPLACED), core(), "missing", 1),
        (account(Status.REFUSED), core(event("t-1", NEW), event("t-1", CANCELED, 0)), "disowned", 1),
        (account(Status.VOID), core(event("t-1", NEW), event("t-1", CANCELED, 0)), "disowned", 1),
        (account(), core(event("t-1", NEW), event("t-1", CANCELED, 0)), "disowned", 1),
        (account(Status.PLACED), core(event("t-1", NEW), event("t-1", TRADE, 0)), "unheard_fills", 1),
        (account(Status.PLACED, fills=1), core(event("t-1", NEW), event("t-1", CANCELED, 0)), "unheard_fills", 1),
        (account(Status.PLACED), core(event("t-1", NEW)), "still_open", 1),
    ],
)
def test_each_disagreement_is_one_loss(ledger: FinishedLedger, record: CoreRecord, where: str, count: int) -> None:
    verdict = compare([ledger], record)
    assert getattr(verdict, where) == count
    assert verdict.lost == count
    assert verdict.doubled == 0


def test_two_orders_for_one_id_are_doubled_in_the_core() -> None:
    ends = [event("t-1", CANCELED, 0)] * 2
    assert compare([account(Status.PLACED)], core(event("t-1", NEW), event("t-1", NEW), *ends)).doubled == 1


def test_two_acceptances_for_one_id_are_doubled_at_the_client() -> None:
    verdict = compare([account(Status.PLACED_TWICE)], core(event("t-1", NEW), event("t-1", CANCELED, 0)))
    assert (verdict.doubled, verdict.lost) == (1, 0)


def test_records_of_different_clients_do_not_mix() -> None:
    other = FinishedLedger("u", "ws", 0, bytearray([Status.UNUSED, Status.PLACED]))
    verdict = compare([account(Status.PLACED), other], core(event("t-1", NEW), event("t-1", CANCELED, 0)))
    assert verdict.missing == 1


@pytest.mark.parametrize("cl_ord_id", ["mm-7f3a-x1", "", "no number", "t-999999999999"])
def test_an_id_from_elsewhere_is_left_out_and_sizes_no_array(cl_ord_id: str) -> None:
    assert core(event(cl_ord_id, NEW)).placed == {}


def test_a_ledger_numbers_its_requests_and_knows_its_own_ids() -> None:
    ledger = Ledger("fx", "fix")
    first, second = ledger.ask(Kind.PLACE, 0), ledger.ask(Kind.CANCEL, 0)
    assert (first, second) == (1, 2)
    assert ledger.number_of(ledger.id_of(second)) == second
    assert [ledger.number_of(text) for text in ("fx-3", "mm1-1", "fx-", "x", "")] == [0] * 5
    ledger.sent_as(first, 77)
    assert (ledger.number_at(77), ledger.number_at(78)) == (first, 0)


def test_latency_is_of_orders_only_and_an_answer_counts_once() -> None:
    ledger = Ledger("fx", "fix")
    order, cancel = ledger.ask(Kind.PLACE, 1_000), ledger.ask(Kind.CANCEL, 1_000)
    ledger.carried_out(order, 501_000)
    ledger.carried_out(cancel, 900_000)
    assert ledger.latency.count == 1
    assert ledger.latency.quantile(0.5) == pytest.approx(500_000, rel=0.07)
    assert list(ledger.states) == [Status.UNUSED, Status.PLACED, Status.CANCELED]
    ledger.carried_out(order, 600_000)
    assert ledger.states[order] == Status.PLACED_TWICE
    assert ledger.accepted == 1


def test_a_refusal_after_an_acceptance_is_counted_and_changes_no_state() -> None:
    ledger = Ledger("fx", "fix")
    order = ledger.ask(Kind.PLACE, 0)
    ledger.carried_out(order, 1)
    ledger.refused(order, 4004, 2)
    assert ledger.refusals == {4004: 1}
    assert ledger.states[order] == Status.PLACED


def test_ledgers_of_one_door_are_added_up() -> None:
    first, second = Ledger("mm1", "ws"), Ledger("mm2", "ws")
    for ledger in (first, second):
        ledger.carried_out(ledger.ask(Kind.PLACE, 0), 2_000_000)
        ledger.refused(ledger.ask(Kind.REPLACE, 0), 3001, 2_000_000)
        ledger.ask(Kind.CANCEL, 0)
    second.fills = 3
    door = summarize([first, second])["ws"]
    assert (door.orders, door.accepted, door.replaces, door.cancels) == (2, 2, 2, 2)
    assert (door.fills, door.refusals, door.waiting) == (3, {3001: 2}, 2)
    assert door.p50_us == pytest.approx(2_000, rel=0.07)
    assert summarize([Ledger("fx", "fix")])["fix"] == DoorStats()


def test_a_ledger_survives_its_journey_in_slices() -> None:
    ledgers = FinishedLedgers()
    ledgers.take(LedgerSlice("fx", "fix", 7, "AAEC"))
    ledgers.take(LedgerSlice("fx", "fix", 7, "Ag=="))
    assert ledgers.accounts["fx"].states == bytearray([0, 1, 2, 2])
    assert ledgers.accounts["fx"].fills == 7
