"""What a configured FIX session costs that nobody has connected to: there may be thousands.

Module: sessions.session.
"""

import gc
import tracemalloc

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.server import Server
from tests.support.fix_room import BTC, session

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")


def settings(count):
    rows = [session(n, f"S{n}", version=VERSIONS[n % 3], dialect=("plain", "penstock")[n % 2]) for n in range(1, count)]
    return schema.Config(
        fix=schema.Fix(sessions=tuple(rows)),
        accounts=(schema.Account(id=1, name="ACME"),),
        instruments=(BTC,),
        limits=schema.Limits(file=""),
        journal=JournalSettings(durability="process"),
    )


def test_a_session_that_is_not_connected_takes_a_few_kilobytes(tmp_path):
    few, many = settings(20), settings(220)
    Server(few, tmp_path / "warm").recorder.close(is_clean=True)  # tables that all sessions share
    gc.collect()
    tracemalloc.start()
    try:
        server = Server(many, tmp_path / "many")
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    server.recorder.close(is_clean=True)
    assert taken / 220 < 30_000
