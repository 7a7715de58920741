"""Whether a core keeps the contract of docs/connect/core.md: one scripted dialogue for each promise.

Open `promises.py` for the list of them, `dialogue.py` for what a dialogue can do, `examine.py` for how they are run.
"""
