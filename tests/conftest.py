"""What every test run needs to know before it collects."""

from importlib.util import find_spec

from hypothesis import Phase, settings

# QuickFIX C++ has no wheel for some Pythons and platforms: what plays it is left out there, and `make test` says so.
collect_ignore = [] if find_spec("quickfix") else ["e2e/test_trade.py", "e2e/test_quickfix_versions.py"]

# A planted mistake must be found, not explained: no shrinking, and nothing remembered between runs.
settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None, derandomize=False)
