"""The JSON samples of the WebSocket contract, by the Struct that each one names."""

import re
from pathlib import Path

_TEXT = (Path(__file__).parent.parent / "protocols/ws/samples.md").read_text()
SAMPLES = [(name, body) for name, body in re.findall(r"<!-- check: (\w+) -->\n```json\n(.*?)\n```", _TEXT, re.DOTALL)]
OF = {name: [body for kind, body in SAMPLES if kind == name] for name in ("Request", "Response", "EventWire")}
