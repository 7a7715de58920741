"""Planted mistakes of the reader of TOML files, and of what becomes of a limits file that was read."""

from tests.mutants.plant import mutants

_LINES = ("tests/limits/test_toml_text.py",)
_READER = ("tests/limits/test_toml_reader.py",)
_POLICY = ("tests/limits/test_policy.py",)

MUTANTS = (
    *mutants(
        "limits/toml_text.py",
        _LINES,
        ("every row of an array is its first", "self._rows.get(rows, 0) + 1", "1"),
        ("a table below a row stands below the first", "table += (self._rows[table],)", "table += (1,)"),
        ("what a text of several lines holds is a key", 'inside = "" if inside in line else inside', 'inside = ""'),
        ("a document that ends too early has no line", 'if message.endswith("(at end of document)")', "if False"),
    ),
    *mutants(
        "limits/toml_reader.py",
        _READER,
        ("what stands in for a value is spoken of", "if place not in self._stand_ins", "if True"),
        ("the name of a file is relative to the process", '.endswith("_file")', '.endswith("_path")'),
        ("a name that nobody knows is let pass", "if name not in fields:", "if False:"),
    ),
    *mutants(
        "limits/policy_parse.py",
        _POLICY,
        ("a plan in a circle is made of itself", "and name not in chain:", "and len(chain) < 9:"),
        ("orders pass without a limit where the store is away", "table.on_store_loss == never[0]", "False"),
        ("a session's override forgets its account's", "**(done.get(account, {}) if slash else {})", ""),
    ),
)
