"""The matching core: the reference engine, and what the gateway asks of any core.

Open `matching.py` for the interface that another core must provide, `engine.py` for the reference engine. The engine
is pure and deterministic: the same commands at the same times give the same events.
"""
