"""Names of sessions that ended: known by id as long as they may be told, and bounded for each key by itself."""

from gateway.sessions.former_names import MAX_PER_KEY, FormerNames, WsSessionRecord


def test_whoever_changes_names_without_end_loses_only_his_own():
    names = FormerNames([WsSessionRecord(7, "quiet", "bot")])
    for n in range(MAX_PER_KEY + 2):
        names.add(WsSessionRecord(100 + n, "noisy", f"pod-{n}"))
    assert [names.get(id) for id in (7, 100, 101, 103)] == [
        WsSessionRecord(7, "quiet", "bot"),
        None,
        None,
        WsSessionRecord(103, "noisy", "pod-3"),
    ]
    assert len(names.rows()) == MAX_PER_KEY + 1


def test_an_id_that_comes_round_again_has_its_new_name():
    names = FormerNames([WsSessionRecord(7, "a", "old"), WsSessionRecord(8, "a", "other")])
    names.discard(7)
    assert names.get(7) is None
    names.add(WsSessionRecord(8, "b", "new"))
    assert (names.get(8), names.rows()) == (WsSessionRecord(8, "b", "new"), (WsSessionRecord(8, "b", "new"),))
    assert FormerNames(names.rows()).rows() == names.rows()


def test_a_name_that_the_client_gave_is_told_from_one_that_it_did_not():
    assert WsSessionRecord(65_536, "a", "bot").is_given
    assert not WsSessionRecord(65_536, "a", "ws-65536").is_given
