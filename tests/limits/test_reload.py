"""Limits files that change under a running gateway: real files, as editors and Kubernetes change them."""

import os
from pathlib import Path

import pytest

from limits.policy import Policy
from limits.reload import MAX_BYTES, STABLE_NS, Refused, Reloaded, Watcher, built_in, load
from limits.toml_text import Problem

S = 1_000_000_000
WHOLE = """version = 6
[plans.standard]
orders = { burst = 11 }
[assign]
default = "standard"
accounts = { ACME = "market_maker" }
[plans.market_maker]
extends = "standard"
orders = { burst = 12 }
"""
HALF = WHOLE[: WHOLE.index("[assign]")]


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


class Looks:
    """A watcher, and the time of its looks: each a second after the one before, unless the test says otherwise."""

    def __init__(self, file: Path, policy: Policy, accounts: frozenset[str] | None = None) -> None:
        self._watcher = Watcher(file, policy, 0, accounts)
        self.now_ns = 3_600 * S  # long after the start

    def look(self, after_ns: int = S) -> Reloaded | Refused | None:
        self.now_ns += after_ns
        return self._watcher.poll(self.now_ns)

    def poll(self) -> Reloaded | Refused | None:
        """What becomes of a change: the first look sees it, the second one takes it."""
        seen = self.look()
        return self.look() if seen is None else seen

    @property
    def is_waiting(self) -> bool:
        return self._watcher.is_waiting


@pytest.fixture
def watcher(file: Path) -> Looks:
    policy = load(file).policy
    assert policy is not None
    return Looks(file, policy)


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
    told = {
        4: "is 4; a change is taken when it is above 5, the version in force",
        5: "is 5, which is in force with other content: raise it to 6",
    }
    assert errors_of(watcher.poll()) == [f"line 2: version: {told[version]}"]
    assert watcher.poll() is None


def test_a_change_of_comments_only_is_nothing_new(file, watcher):
    replace(file, "# tuned by hand\n" + text_of(5))
    assert watcher.poll() is None


def test_a_file_that_is_away_is_told_once_and_its_return_is_nothing_new(file, watcher):
    hidden = file.rename(file.with_suffix(".away"))
    assert errors_of(watcher.poll()) == ["cannot be read: No such file or directory"]
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
    watcher = Looks(file, policy)
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
        assert errors_of(Looks(tmp_path / name, built_in()).poll()) == ["cannot be read: not a regular file"]


def test_bytes_that_are_no_utf_8_and_files_too_large_are_refused(file):
    file.write_bytes(b"version = 1\n# \xff\n")
    assert load(file).errors == (Problem(2, "", "not UTF-8"),)
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert load(file).errors == (Problem(0, "", f"larger than {MAX_BYTES} bytes"),)


def test_loading_what_is_not_there_is_one_error(tmp_path):
    assert load(tmp_path / "none.toml").errors == (Problem(0, "", "cannot be read: No such file or directory"),)


# -- a file that is written in place -------------------------------------------------------------------------------


def burst_of(outcome: object, account: str = "ACME") -> int:
    assert isinstance(outcome, Reloaded)
    return outcome.policy.plan_of(account).limits["orders"].burst


def test_a_file_is_read_when_it_stayed_as_it_was_between_two_looks(file, watcher):
    watcher.poll()
    for end in range(20, len(WHOLE), 40):
        file.write_text(WHOLE[:end])
        os.utime(file, ns=(end, end))
        assert watcher.look() is None
        assert watcher.is_waiting
    file.write_text(WHOLE)
    assert watcher.look() is None
    assert watcher.look(STABLE_NS - 1) is None
    assert burst_of(watcher.look(1)) == 12
    assert not watcher.is_waiting


def test_a_half_that_stood_still_is_taken_and_so_is_the_whole_of_the_same_version_behind_it(file, watcher):
    file.write_text(HALF)
    assert burst_of(watcher.poll()) == 11
    watcher.look(5 * S)
    file.write_text(WHOLE)
    outcome = watcher.poll()
    assert burst_of(outcome) == 12
    assert str(outcome.warnings[0]) == (
        "line 1: version: is 6 again: the file was taken while it was written; replace it by a rename"
    )


def test_but_not_for_ever_and_then_the_mend_is_named(file, watcher):
    file.write_text(HALF)
    assert burst_of(watcher.poll()) == 11
    watcher.look(9 * S)
    file.write_text(WHOLE)
    assert errors_of(watcher.poll()) == ["line 1: version: is 6, which is in force with other content: raise it to 7"]


def test_a_process_that_started_on_half_a_file_takes_the_whole_of_it(file):
    file.write_text(HALF)
    policy = load(file).policy
    assert policy is not None
    watcher = Watcher(file, policy, 0)
    assert watcher.poll(S) is None
    file.write_text(WHOLE)
    assert watcher.poll(2 * S) is None
    assert burst_of(watcher.poll(3 * S)) == 12


# -- what an editor or a slip puts there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "name"), [(b"\xef\xbb\xbf", "a byte order mark (BOM)"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")]
)
def test_what_cannot_be_seen_in_an_editor_is_named(file, mark, name):
    file.write_bytes(mark + text_of(6).encode())
    why = f"begins with {name}: save it as UTF-8 without a byte order mark"
    assert [str(fault) for fault in load(file).errors] == [why]


def test_a_limit_for_an_account_that_nobody_has_is_named_with_its_line_and_with_whom_was_meant(file):
    text = (
        text_of(6)
        + """[assign]
default = "standard"
accounts = { ACMEE = "standard", ACME = "standard" }
[override.ALPA]
orders = { rate = "1/s", burst = 1 }
[override."BETA/KEY7"]
orders = { rate = "1/s", burst = 1 }
"""
    )
    file.write_text(text)
    told = [str(fault) for fault in load(file, ["ACME", "ALPHA"]).warnings if "no account" in fault.text]
    assert told == [
        "line 6: assign.accounts.ACMEE: limits nobody: no account is called ACMEE (did you mean ACME?)",
        "line 7: override.ALPA: limits nobody: no account is called ALPA (did you mean ALPHA?)",
        'line 9: override."BETA/KEY7": limits nobody: no account is called BETA; there are ACME, ALPHA',
    ]
    assert not [fault for fault in load(file).warnings if "no account" in fault.text]
