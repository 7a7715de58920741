"""A tag that one place knows is known to all: its name in the code, the dictionary, the translation, the reference."""

import ast
import re
from types import ModuleType

import pytest

from docs.fix.uses import GROUPS, HEADER, REPORTS, REQUESTS, SESSION
from protocols.fix import commands, refusal, report, tags, terms
from protocols.fix.dictionary.tables import VERSIONS, for_version

_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
TAGS = {name: value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)}
ON_THE_PAGE = {use.tag for message in (*SESSION, *REQUESTS, *REPORTS) for use in message.uses}
ON_THE_PAGE |= {use.tag for uses in (HEADER, *GROUPS.values()) for use in uses}
OF_QUOTES = {tags.QUOTE_ID}  # returned by a BusinessMessageReject(j); the messages that have it are not served


def test_every_tag_goes_by_the_name_that_the_dictionary_has() -> None:
    fields = for_version(VERSIONS[-1]).fields
    named = {tag: _WORD_ENDS.sub("_", fields[tag].name).upper() for tag in TAGS.values()}
    assert named == {tag: name for name, tag in TAGS.items()}


@pytest.mark.parametrize("module", [commands, terms, report, refusal])
def test_every_tag_that_the_translation_reads_is_on_the_reference_page(module: ModuleType) -> None:
    assert module.__file__ is not None
    with open(module.__file__, encoding="utf-8") as source:
        names = {node.id for node in ast.walk(ast.parse(source.read())) if isinstance(node, ast.Name)}
    read = {TAGS[name] for name in names & TAGS.keys()}
    assert len(read) > 5
    assert read - OF_QUOTES <= ON_THE_PAGE


def test_every_field_of_our_own_is_on_the_reference_page() -> None:
    ours = {tag for version in VERSIONS for tag in for_version(version).tags if tag >= 5_000}
    assert ours - ON_THE_PAGE == set(), "a field that we added, and of which no page says what it does"
