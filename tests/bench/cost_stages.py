"""Splits the instructions of orders by stage, under callgrind.

callgrind sees the interpreter's functions, not Python's. So `learned` runs the flows to see which functions are called
from one stage into another. Under callgrind (`python -m tests.bench.cost_stages DIRECTORY`) these get a new body, which
calls the old one through `stage_marks.c`, and that switches the counting on where the counted stage begins and off
where it ends. Each stage is counted in turns of its own. What a stage calls outside of our packages is its own too:
the standard library, msgspec, and our small helpers.

A crossing costs some hundred instructions that an order does not spend otherwise; about half fall to the calling stage.
So a stage's count is good to compare with an earlier one of the same stage. Totals are counted without any of this.
"""

import gc
import importlib
import json
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from gateway.serving import spare_collector
from tests.bench.cost_flow import FLOWS, gateway_of, orders_of
from tests.bench.in_process import InProcessGateway

STAGES = ("rest", "parse", "translate", "admit", "core", "report", "journal")
# Where a module belongs: the longest start of its path decides, and what has none here is `rest`. Those that only help,
# whoever calls them, are of the stage that does.
PREFIXES = {
    "protocols/fix/": "parse",
    "protocols/fix/translate": "translate",
    "protocols/fix/commands": "translate",
    "protocols/fix/terms": "translate",
    "protocols/fix/report": "report",
    "protocols/fix/run_report": "report",
    "protocols/fix/notice": "report",
    "protocols/fix/refusal": "report",
    "protocols/fix/message": "report",
    "protocols/fix/session/output": "report",
    "protocols/fix/session/store": "report",
    "protocols/known_numbers": "parse",
    "protocols/ws/": "parse",
    "protocols/ws/translate": "translate",
    "protocols/ws/report": "report",
    "protocols/ws/answer_text": "report",
    "protocols/ws/event_text": "report",
    "protocols/ws/events": "report",
    "protocols/ws/output": "report",
    "protocols/ws/results": "report",
    "gateway/doors/ws/stream_cursor": "report",
    "gateway/doors/ws/answers": "report",
    "gateway/doors/ws/run_answers": "report",
    "limits/": "admit",
    "gateway/limiting/": "admit",
    "gateway/orders/": "admit",
    "gateway/core/": "core",
    "gateway/journal/": "journal",
    "gateway/journal/delay": "admit",
    "gateway/recovery/": "journal",
}
_ANYBODYS = (
    "protocols/instruments",
    "protocols/messages",
    "protocols/order_terms",
    "protocols/runs",
    "protocols/wall",
    "protocols/fix/times",
    "gateway/sessions/request",
)
_ROOT = Path(__file__).resolve().parents[2]
_LEARNED_ORDERS = 400
_COUNTED_ORDERS = 400


def stage_of(path: str) -> str | None:
    """The stage of a source file; None = not ours: it works for whoever calls it."""
    if not path.startswith(f"{_ROOT}/") or "/.venv/" in path:
        return None
    path = path[len(f"{_ROOT}/") :]
    if path.startswith(_ANYBODYS):
        return None
    return PREFIXES.get(max((start for start in PREFIXES if path.startswith(start)), key=len, default=""), "rest")


def missing_rows() -> list[str]:
    """Rows of PREFIXES that no module has: a module was moved, and the table was not."""
    modules = [
        str(path.relative_to(_ROOT))
        for package in ("gateway", "protocols", "limits")
        for path in (_ROOT / package).rglob("*.py")
    ]
    return [start for start in (*PREFIXES, *_ANYBODYS) if not any(module.startswith(start) for module in modules)]


def build(directory: Path) -> list[str]:
    """The command that makes `stage_marks` in the directory."""
    include, suffix = sysconfig.get_paths()["include"], sysconfig.get_config_var("EXT_SUFFIX")
    source = Path(__file__).with_name("stage_marks.c")
    return ["cc", "-O2", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(directory / f"stage_marks{suffix}")]


class _Crossings:
    """The functions that are called from one stage into another, with the stage of each."""

    def __init__(self) -> None:
        self.found: dict[CodeType, str] = {}
        self._stages = ["rest"]

    @contextmanager
    def watching(self) -> Iterator[None]:
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            stage = stage_of(frame.f_code.co_filename) or self._stages[-1]
            if stage != self._stages[-1]:
                self.found[frame.f_code] = stage
            self._stages.append(stage)
        elif event == "return" and len(self._stages) > 1:
            self._stages.pop()


def _body(*args: Any, **kwargs: Any) -> Any:
    call = 1001  # constants of their own, which `_mark` replaces
    stage = 1002
    function = 1003
    return call(stage, function, args, kwargs)  # type: ignore[operator]


def _mark(function: FunctionType, stage: int, call: Callable[..., Any]) -> None:
    """Give the function a body that calls the old one as its stage. Whoever holds the function holds the new body."""
    old = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    old.__kwdefaults__ = function.__kwdefaults__
    meant = {1001: call, 1002: stage, 1003: old}
    code = _body.__code__
    function.__code__ = code.replace(
        co_consts=tuple(meant.get(const, const) for const in code.co_consts),
        co_name=function.__code__.co_name,
        co_freevars=function.__code__.co_freevars,
    )


def _run(gateway: InProcessGateway, now: Callable[[], int], turns: range) -> None:
    for turn in turns:
        gateway.turn(turn, now)


def learned() -> dict[str, str]:
    """The functions that the flows call from one stage into another, with the stage of each. Not under callgrind."""
    crossings = _Crossings()
    for flow in FLOWS:
        with tempfile.TemporaryDirectory(prefix="penstock-cost-") as name:
            turns = max(2, _LEARNED_ORDERS // orders_of(flow, 1))
            gateway, now = gateway_of(flow, orders_of(flow, turns), Path(name))
            with crossings.watching():
                _run(gateway, now, range(turns))
            gateway.server.journal.close()
    return {_name(code): stage for code, stage in crossings.found.items()}


def _name(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_firstlineno}:{code.co_qualname}"


def main() -> None:
    """Count every stage of every flow; each count is a file of its own in the directory, where `learned.json` is."""
    directory = Path(sys.argv[1])
    found: dict[str, str] = json.loads((directory / "learned.json").read_text())
    sys.path.insert(0, str(directory))
    marks = importlib.import_module("stage_marks")
    for function in gc.get_objects():
        stage = found.get(_name(function.__code__)) if isinstance(function, FunctionType) else None
        if stage is not None:
            _mark(function, STAGES.index(stage), marks.call)
    for flow in FLOWS:
        with tempfile.TemporaryDirectory(prefix="penstock-cost-") as name:
            turns = -(-_COUNTED_ORDERS // orders_of(flow, 1))
            gateway, now = gateway_of(flow, orders_of(flow, turns * (len(STAGES) + 1)), Path(name))
            spare_collector()
            _run(gateway, now, range(turns))  # the interpreter has now specialized what it runs
            for at, stage in enumerate(STAGES, 1):
                marks.measure(STAGES.index(stage))
                marks.call(STAGES.index("rest"), _run, (gateway, now, range(turns * at, turns * at + turns)), {})
                marks.measure(-1)
                marks.told(f"{flow}|{stage}|{orders_of(flow, turns)}")
            gateway.accepted()
            gateway.server.journal.close()
            gc.unfreeze()


if __name__ == "__main__":
    main()
