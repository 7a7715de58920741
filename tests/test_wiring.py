"""Nothing is wired by being remembered, and no session is called without a guard.

No attribute of the product is a callable that does nothing until it is set: one that is forgotten raises nothing, and a
session's report was once lost like that. What a part calls is an argument of its constructor, or of a
`connect` before which the attribute has no value at all.
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sessions.reply import Endpoint

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for room in ("gateway", "limits", "protocols") for path in sorted((ROOT / room).rglob("*.py"))]
STATES = {
    "gateway/core/orders.py: before_change": "the core sets it while a snapshot is made, and takes it back",
    "gateway/doors/listening.py: cut": "a connection may be known before it is made and after it is gone",
    "gateway/doors/listening.py: known": "see above",
    "gateway/doors/listening.py: unmade": "see above",
}
"""What is set and taken back while it runs: the default is one of its states."""


def silent_hooks(text: str) -> Iterator[str]:
    """Attributes whose default is a callable that does nothing: a lambda, or a function of the module."""
    tree = ast.parse(text)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for part in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(part):
            if isinstance(node, ast.Assign):
                targets, value = node.targets, node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets, value = [node.target], node.value
            else:
                continue
            is_hook = isinstance(value, ast.Lambda) or (isinstance(value, ast.Name) and value.id in functions)
            for target in targets:
                name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
                is_ours = isinstance(target, ast.Attribute) or node in part.body
                if is_hook and is_ours and not (isinstance(node, ast.Assign) and not isinstance(value, ast.Lambda)):
                    yield name


def test_no_attribute_is_a_callable_that_does_nothing_until_it_is_set() -> None:
    found = {f"{path.relative_to(ROOT)}: {name}" for path in SOURCES for name in silent_hooks(path.read_text("utf-8"))}
    assert found == set(STATES)


@pytest.mark.parametrize(
    "body",
    [
        "def __init__(self): self.on_ready = lambda: None",
        "def __init__(self): self.on_ready: Callable[[], None] = lambda: None",
        "def __init__(self): self.on_ready: Callable[[], None] = nothing",
        "on_ready: Callable[[], None] = lambda self: None",
    ],
)
def test_one_would_be_found(body: str) -> None:
    assert list(silent_hooks(f"def nothing(): pass\nclass Part:\n    {body}\n")) == ["on_ready"]


@pytest.mark.parametrize(
    "body",
    [
        "def __init__(self, on_ready): self.on_ready = on_ready",
        "on_ready: Callable[[], None]",
        "def run(self): key = lambda row: row.id",
    ],
)
def test_an_argument_a_bare_annotation_and_a_local_are_none(body: str) -> None:
    assert list(silent_hooks(f"class Part:\n    {body}\n")) == []


# -- one session's code, called by what all sessions share -------------------------------------------------------------

METHODS = {name for name, member in vars(Endpoint).items() if inspect.isfunction(member) and name[0] != "_"}
OWN_TURN = {
    "gateway/orders/endpoint_calls.py: failed": "the end of the session that has failed; guarded there",
    "gateway/sessions/session.py: pause_reading": "in a logon's own turn, whose connection guards it",
}


def direct_calls(text: str) -> Iterator[str]:
    """Methods of an endpoint that are called, rather than given to `EndpointCalls.call`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            whose = node.func.value
            if getattr(whose, "attr", getattr(whose, "id", "")) == "endpoint":
                yield node.func.attr


def test_shared_code_calls_an_endpoint_by_endpoint_calls_only() -> None:
    found = {f"{path.relative_to(ROOT)}: {name}" for path in SOURCES for name in direct_calls(path.read_text("utf-8"))}
    assert found == set(OWN_TURN)


def test_a_direct_call_would_be_found() -> None:
    assert list(direct_calls("for each in sessions: each.endpoint.notice(state, 0)")) == ["notice"]
    assert list(direct_calls("endpoint.report(event, None, 0)")) == ["report"]
    assert list(direct_calls("calls.call(endpoint, endpoint.report, event, None, 0)")) == []
