"""The version that runs, as the installed distribution says it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("penstock")
except PackageNotFoundError:  # a checkout that was never installed
    VERSION = "0+checkout"
