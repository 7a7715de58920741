"""Modes survive the process: whatever happens to the file, the gateway has all of them or does not start."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admin.modes_file import ModesBroken, ModesFile
from gateway.orders.trading_modes import ModeChange, Modes

ACME = ModeChange("account", "ACME", "cancel_only", "runaway", "ops", 1_795_000_000_000_000_000)
BTC = ModeChange("instrument", "BTC-USDT", "halted", 'stale "index" | \\ é', "ops", 1, 60, 7)
BOTH = Modes().apply(ACME).apply(BTC)


@pytest.fixture
def file(tmp_path):
    return ModesFile(tmp_path / "state" / "modes.json")


def test_what_was_saved_is_loaded_and_before_the_first_save_there_is_nothing(file):
    assert file.load() == Modes()
    file.save(BOTH)
    assert ModesFile(file.path).load() == BOTH
    file.save(Modes())
    assert file.load() == Modes()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["cancel_only", "halted"]), st.text(max_size=20), st.integers(0, 1 << 62))))
def test_any_modes_survive_the_way_through_the_file(tmp_path_factory, rows):
    modes = Modes()
    for number, (mode, text, at_ns) in enumerate(rows):
        modes = modes.apply(ModeChange("account", f"A{number}", mode, text, text, at_ns, number))
    file = ModesFile(tmp_path_factory.mktemp("modes") / "modes.json")
    file.save(modes)
    assert file.load() == modes


def test_a_change_is_on_disk_before_it_is_seen_and_its_name_before_it_is_acknowledged(file, monkeypatch):
    file.save(Modes())
    steps = []
    sync, replace = os.fsync, Path.replace

    def noting_sync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append(("sync", Path(path).name, Path(path).is_dir() or len(Path(path).read_bytes()) > 20))
        sync(descriptor)

    def noting_replace(path, target):
        steps.append(("rename", path.name, target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    file.save(BOTH)
    assert steps == [
        ("sync", "modes.json.new", True),
        ("rename", "modes.json.new", "modes.json"),
        ("sync", "state", True),
    ]


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_a_save_that_fails_at_any_step_leaves_the_modes_of_before(file, monkeypatch, step):
    file.save(Modes().apply(ACME))

    def fail(*_):
        raise OSError(28, "No space left on device")

    owner, name = {"write": (os, "open"), "sync": (os, "fsync"), "rename": (Path, "replace")}[step]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        with pytest.raises(OSError, match="No space left"):
            file.save(BOTH)
    assert file.load() == Modes().apply(ACME)
    file.save(BOTH)
    assert file.load() == BOTH


def test_a_half_written_successor_of_a_process_that_died_is_not_looked_at(file):
    file.save(BOTH)
    file.path.with_name("modes.json.new").write_text('{"format": 1, "mod')
    assert file.load() == BOTH
    file.save(Modes())
    assert file.load() == Modes()


ROW = '"scope":"account","name":"ACME","mode":"halted","reason":"r","by":"o","at_ns":1'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Input data was truncated"),
        ('{"format": 1, "modes": [', "truncated"),
        ("\x00" * 40, "malformed"),
        ('{"format": 2, "modes": []}', "its format is 2; this version of Penstock reads 1"),
        ('{"modes": []}', "`format`"),
        ('{"format": 1, "modes": [], "more": 1}', "`more`"),
        ('{"format": 1, "modes": [{' + ROW.replace("halted", "closed") + "}]}", "closed"),
        ('{"format": 1, "modes": [{' + ROW.replace("halted", "normal") + "}]}", "account ACME is normal"),
        ('{"format": 1, "modes": [{' + ROW.replace("ACME", "") + "}]}", "the venue has no name"),
        ('{"format": 1, "modes": [{' + ROW.replace("account", "venue") + "}]}", "the venue has no name"),
        ('{"format": 1, "modes": [{' + ROW.replace("account", "instrument") + "}]}", "has its id"),
        ('{"format": 1, "modes": [{' + ROW + ',"instrument":3}]}', "has its id"),
        ('{"format": 1, "modes": [{' + ROW + ',"ttl_s":-1}]}', "a time is below zero"),
        ('{"format": 1, "modes": [{' + ROW + "},{" + ROW + "}]}", "account ACME occurs twice"),
    ],
)
def test_a_file_that_is_not_sound_stops_the_start_and_says_what_to_do(file, text, why):
    file.path.parent.mkdir()
    file.path.write_text(text)
    with pytest.raises(ModesBroken) as caught:
        file.load()
    first, advice = str(caught.value).split("\n")
    assert first.startswith(f"{file.path}: ")
    assert why in first
    assert "move it away to start with everything open" in advice


def test_a_file_that_may_not_be_read_or_is_a_directory_stops_the_start_too(file):
    file.path.mkdir(parents=True)
    with pytest.raises(ModesBroken, match="Is a directory"):
        file.load()


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_any_bytes_are_modes_or_a_clear_refusal(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("modes") / "modes.json"
    path.write_bytes(data)
    try:
        assert isinstance(ModesFile(path).load(), Modes)
    except ModesBroken as error:
        assert str(path) in str(error)  # noqa: PT017  most bytes are refused, and none of them escapes as anything else
