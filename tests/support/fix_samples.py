"""The FIX messages of the contract, a line each."""

from pathlib import Path

_FILE = Path(__file__).parents[1] / "protocols/fix/samples.txt"
SAMPLES = [line for line in _FILE.read_text().splitlines() if not line.startswith("#")]
