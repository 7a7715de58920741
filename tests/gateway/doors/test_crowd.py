"""Who goes when a door is full: a crowd displaces itself, never a client that has logged on."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.crowd import Crowd


class Someone:
    """A connection that is told to go, and goes when it likes."""

    def __init__(self, crowd: Crowd, address: str) -> None:
        self.crowd, self.address, self.is_going = crowd, address, False

    def crowd_out(self) -> None:
        assert not self.is_going, "told twice"
        self.is_going = True


def come(crowd: Crowd, address: str, is_shared: bool = False) -> Someone | None:
    if not crowd.admit(address, is_shared):
        return None
    guest = Someone(crowd, address)
    crowd.enter(guest, address)
    return guest


def arrive(crowd: Crowd, address: str, count: int = 1) -> list[Someone]:
    found = [come(crowd, address) for _ in range(count)]
    return [guest for guest in found if guest is not None]


def went(guests: list[Someone]) -> list[int]:
    return [number for number, guest in enumerate(guests) if guest.is_going]


def test_one_address_has_half_of_the_places_for_its_strangers_and_its_oldest_goes() -> None:
    crowd = Crowd(50)
    guests = arrive(crowd, "a", 27)
    assert went(guests) == [0, 1]
    assert crowd.strangers == 25
    assert went(arrive(crowd, "b", 25)) == []


def test_whoever_has_logged_on_counts_no_longer_among_the_strangers_of_its_address() -> None:
    crowd = Crowd(50)
    guests = arrive(crowd, "a", 25)
    for guest in guests[:20]:
        crowd.prove(guest)
    assert went([*guests, *arrive(crowd, "a", 20)]) == []
    assert went([*guests, *arrive(crowd, "a")]) == [20]


def test_of_a_full_door_the_oldest_stranger_of_the_fullest_address_goes() -> None:
    crowd = Crowd(40)
    few, many, other = arrive(crowd, "few", 10), arrive(crowd, "many", 16), arrive(crowd, "other", 14)
    assert come(crowd, "newcomer") is not None
    assert (went(few), went(many), went(other)) == ([], [0], [])
    arrive(crowd, "newcomer", 3)
    assert (went(few), went(many), went(other)) == ([], [0, 1, 2], [0])


def test_where_each_has_come_once_whoever_has_waited_longest_goes() -> None:
    crowd = Crowd(20)
    guests = [arrive(crowd, f"a{n}")[0] for n in range(23)]
    assert went(guests) == [0, 1, 2]


def test_nothing_is_kept_of_addresses_from_which_nobody_is_there() -> None:
    crowd = Crowd(40)
    guests = [*arrive(crowd, "a", 3), *arrive(crowd, "b"), *arrive(crowd, "c", 2)]
    crowd.prove(guests[3])
    assert set(crowd._strangers) == {"a", "c"}
    for guest in guests:
        crowd.leave(guest)
    assert (len(crowd), crowd._strangers, crowd._levels) == (0, {}, {})


def test_who_failed_and_waits_for_its_refusal_goes_before_the_older_ones_of_its_address() -> None:
    crowd = Crowd(16)
    guests = arrive(crowd, "a", 16)
    crowd.fail(guests[9])
    assert went([*guests, *arrive(crowd, "a", 2)]) == [0, 9]


def test_a_door_full_of_those_who_have_logged_on_takes_nobody() -> None:
    crowd = Crowd(3)
    guests = arrive(crowd, "a", 3)
    for guest in guests:
        crowd.prove(guest)
    assert come(crowd, "b") is None
    crowd.leave(guests[1])
    assert come(crowd, "b") is not None
    assert went(guests) == []


def test_who_was_told_to_go_gives_its_place_at_once_and_only_so_many_are_on_their_way_out() -> None:
    crowd = Crowd(16)
    guests = arrive(crowd, "a", 16 + Crowd.SLACK)
    assert len(went(guests)) == Crowd.SLACK
    assert crowd.is_stuffed
    crowd.leave(guests[0])
    assert not crowd.is_stuffed
    crowd.prove(guests[1])  # too late: it is told to go already
    assert len(arrive(crowd, "b", 16)) == 16


def test_who_is_on_its_way_out_takes_nobodys_place() -> None:
    crowd = Crowd(16)
    guests = arrive(crowd, "a", 17)
    crowd.leave(guests[5])
    assert come(crowd, "b") is not None
    assert went(guests) == [0], "there was a place"


def test_a_balancer_has_no_share_and_those_it_speaks_for_have() -> None:
    crowd = Crowd(80)
    guests = []
    for _ in range(75):
        guest = come(crowd, "balancer", is_shared=True)
        assert guest is not None
        guests.append(guest)
    for guest in guests[30:]:
        crowd.move(guest, "client")
    assert went(guests) == [30, 31, 32, 33, 34]
    crowd.move(guests[30], "elsewhere")  # it is on its way out
    assert crowd.strangers == 70


def test_when_there_are_fewer_places_strangers_go_and_nobody_else() -> None:
    crowd = Crowd(30)
    guests = arrive(crowd, "a", 8) + arrive(crowd, "b", 12)
    for guest in guests[:6]:
        crowd.prove(guest)
    crowd.places = 12
    crowd.trim()
    assert went(guests) == list(range(8, 16))
    crowd.places = 2
    crowd.trim()
    assert went(guests) == list(range(6, 20))


class Naive:
    """The same rules, with a list that is searched."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.all: list[Someone] = []
        self.strangers: list[Someone] = []  # in the order in which they are to go
        self.going: list[Someone] = []

    def fullest(self) -> Someone | None:
        if not self.strangers:
            return None
        counts: dict[str, int] = {}
        for guest in self.strangers:
            counts[guest.address] = counts.get(guest.address, 0) + 1
        most = max(counts.values())
        return next(guest for guest in self.strangers if counts[guest.address] == most)

    def takes(self, address: str) -> tuple[bool, set[Someone]]:
        """Whether it lets one more in, and who may be told to go for it."""
        own = [guest for guest in self.strangers if guest.address == address]
        if len(own) >= max(self.places // 2, 16):
            return True, {own[0]}
        if len(self.all) - len(self.going) < self.places:
            return True, set()
        counts = [guest.address for guest in self.strangers]
        most = max((counts.count(each) for each in counts), default=0)
        first = {guest.address: guest for guest in reversed(self.strangers) if counts.count(guest.address) == most}
        return bool(first), set(first.values())


@given(st.lists(st.tuples(st.sampled_from("iiiiiplf"), st.integers(0, 5), st.integers(0, 90)), max_size=250))
def test_any_coming_and_going_keeps_to_the_rules(steps: list[tuple[str, int, int]]) -> None:
    crowd, naive = Crowd(20), Naive(20)
    for kind, where, which in steps:
        guest = naive.all[which % len(naive.all)] if naive.all else None
        if kind == "i" and not crowd.is_stuffed:
            address = f"a{where // 2}"
            is_in, may_go = naive.takes(address)
            before = set(naive.going)
            newcomer = come(crowd, address)
            assert (newcomer is not None) == is_in
            told = {each for each in naive.all if each.is_going} - before
            assert told <= may_go
            assert len(told) == min(len(may_go), 1)
            for each in told:
                naive.strangers.remove(each)
                naive.going.append(each)
            if newcomer is not None:
                naive.all.append(newcomer)
                naive.strangers.append(newcomer)
        elif kind == "p" and guest is not None:
            crowd.prove(guest)
            if guest in naive.strangers:
                naive.strangers.remove(guest)
        elif kind == "l" and guest is not None:
            crowd.leave(guest)
            for rows in (naive.all, naive.strangers, naive.going):
                if guest in rows:
                    rows.remove(guest)
        elif kind == "f" and guest is not None:
            crowd.fail(guest)
            if guest in naive.strangers:
                naive.strangers.remove(guest)
                naive.strangers.insert(0, guest)
        assert (len(crowd), crowd.strangers) == (len(naive.all), len(naive.strangers))
        assert len(crowd) <= crowd.places + Crowd.SLACK
