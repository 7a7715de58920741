"""Names of sessions that ended: known by id as long as they may be told, and bounded for each key by itself."""

from gateway.sessions.former_names import MAX_PER_KEY, FormerNames, Name


def test_whoever_changes_names_without_end_loses_only_his_own():
    names = FormerNames([Name(7, "quiet", "bot")])
    for n in range(MAX_PER_KEY + 2):
        names.add(Name(100 + n, "noisy", f"pod-{n}"))
    assert [names.get(id) for id in (7, 100, 101, 103)] == [
        Name(7, "quiet", "bot"),
        None,
        None,
        Name(103, "noisy", "pod-3"),
    ]
    assert len(names.rows()) == MAX_PER_KEY + 1


def test_an_id_that_comes_round_again_has_its_new_name():
    names = FormerNames([Name(7, "a", "old"), Name(8, "a", "other")])
    names.discard(7)
    assert names.get(7) is None
    names.add(Name(8, "b", "new"))
    assert (names.get(8), names.rows()) == (Name(8, "b", "new"), (Name(8, "b", "new"),))
    assert FormerNames(names.rows()).rows() == names.rows()


def test_a_name_that_the_client_gave_is_told_from_one_that_it_did_not():
    assert Name(65_536, "a", "bot").is_given
    assert not Name(65_536, "a", "ws-65536").is_given
