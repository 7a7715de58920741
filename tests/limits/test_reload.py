"""Limits files that change under a running gateway: real files, as editors and Kubernetes change them."""

import os
from pathlib import Path

import pytest

from limits.policy_parse import Fault
from limits.reload import MAX_BYTES, Refused, Reloaded, Watcher, built_in, load


def text_of(version: int, burst: int = 10) -> str:
    return f"version = {version}\n[plans.standard]\norders = {{ burst = {burst} }}\n"


def replace(file: Path, text: str) -> None:
    """As careful editors do: a new file, renamed over the old one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(text_of(5))
    return path


@pytest.fixture
def watcher(file: Path) -> Watcher:
    policy = load(file).policy
    assert policy is not None
    return Watcher(file, policy)


def reloaded_version(outcome: object) -> int:
    assert isinstance(outcome, Reloaded)
    return outcome.policy.version


def errors_of(outcome: object) -> list[str]:
    assert isinstance(outcome, Refused)
    return [str(fault) for fault in outcome.errors]


def test_an_untouched_file_is_nothing_new(watcher):
    assert [watcher.poll() for _ in range(4)] == [None] * 4


@pytest.mark.parametrize("write", [replace, Path.write_text])
def test_a_newer_version_is_handed_out_once(file, watcher, write):
    watcher.poll()
    write(file, text_of(6, burst=11))
    outcome = watcher.poll()
    assert reloaded_version(outcome) == 6
    assert outcome.policy.plans["standard"].limits["orders"].burst == 11
    assert [watcher.poll() for _ in range(3)] == [None] * 3


def test_what_is_odd_comes_with_the_policy(file, watcher):
    replace(file, text_of(6) + '[venue]\norders = { rate = "1/s", burst = 1, mode = "off" }\n')
    outcome = watcher.poll()
    assert isinstance(outcome, Reloaded)
    assert [fault.place for fault in outcome.warnings] == ["venue.orders"]


def test_a_bad_file_is_refused_once_and_changes_nothing(file, watcher):
    replace(file, "version = 6\n[plans.standard]\norders = { rate = 3, burst = 0 }\n")
    errors = errors_of(watcher.poll())
    assert [line.split(":")[1].strip() for line in errors] == [
        "plans.standard.orders.rate",
        "plans.standard.orders.burst",
    ]
    assert [watcher.poll() for _ in range(3)] == [None] * 3
    os.utime(file, (1, 1))
    assert watcher.poll() is None
    replace(file, text_of(6, burst=11))
    assert reloaded_version(watcher.poll()) == 6


def test_another_bad_file_is_told_again_and_so_is_the_first_after_a_good_one(file, watcher):
    bad = "version = 6\nplanz = 1\n"
    replace(file, bad)
    assert errors_of(watcher.poll())
    replace(file, bad + "# saved again\n")
    assert errors_of(watcher.poll())
    replace(file, text_of(5))
    assert watcher.poll() is None
    replace(file, bad)
    assert errors_of(watcher.poll())


@pytest.mark.parametrize("version", [4, 5])
def test_a_change_without_a_higher_version_is_refused(file, watcher, version):
    replace(file, "# a comment\n" + text_of(version, burst=11))
    assert errors_of(watcher.poll()) == [
        f"line 2: version: is {version}; a change is taken when it is above 5, the version in force"
    ]
    assert watcher.poll() is None


def test_a_change_of_comments_only_is_nothing_new(file, watcher):
    replace(file, "# tuned by hand\n" + text_of(5))
    assert watcher.poll() is None


def test_a_file_that_is_away_is_told_once_and_its_return_is_nothing_new(file, watcher):
    hidden = file.rename(file.with_suffix(".away"))
    assert errors_of(watcher.poll()) == ["line 1: cannot be read: No such file or directory"]
    assert watcher.poll() is None
    hidden.rename(file)
    assert watcher.poll() is None
    replace(file, text_of(6))
    assert reloaded_version(watcher.poll()) == 6


def test_a_config_map_swap_is_seen_although_the_file_itself_is_never_touched(tmp_path):
    """Kubernetes: limits.toml -> ..data/limits.toml, and ..data -> ..2026_1 is swapped by a rename."""
    for stamp, version in (("..2026_1", 5), ("..2026_2", 6)):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / "limits.toml").write_text(text_of(version, burst=version))
        os.utime(tmp_path / stamp / "limits.toml", (1_000, 1_000))  # nor does the time of change tell
    (tmp_path / "..data").symlink_to("..2026_1")
    file = tmp_path / "limits.toml"
    file.symlink_to("..data/limits.toml")
    policy = load(file).policy
    assert policy is not None
    watcher = Watcher(file, policy)
    assert [watcher.poll() for _ in range(3)] == [None] * 3
    (tmp_path / "..data_tmp").symlink_to("..2026_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert reloaded_version(watcher.poll()) == 6
    assert watcher.poll() is None


def test_a_second_write_that_leaves_the_same_stamp_is_seen_at_the_next_look(file, watcher):
    watcher.poll()
    file.write_text(text_of(6, burst=11))
    os.utime(file, ns=(7, 7))
    assert reloaded_version(watcher.poll()) == 6
    file.write_text(text_of(7, burst=12))
    os.utime(file, ns=(7, 7))
    assert reloaded_version(watcher.poll()) == 7


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        assert errors_of(Watcher(tmp_path / name, built_in()).poll()) == ["line 1: cannot be read: not a regular file"]


def test_bytes_that_are_no_utf_8_and_files_too_large_are_refused(file):
    file.write_bytes(b"version = 1\n# \xff\n")
    assert load(file).errors == (Fault(2, "", "not UTF-8"),)
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert load(file).errors == (Fault(1, "", f"larger than {MAX_BYTES} bytes"),)


def test_loading_what_is_not_there_is_one_error(tmp_path):
    assert load(tmp_path / "none.toml").errors == (Fault(1, "", "cannot be read: No such file or directory"),)
