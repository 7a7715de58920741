"""Mistakes in runs of plain orders at the WebSocket door: what is plain, how a run is answered, who reads its events."""

from tests.mutants.plant import mutants

_READER = ("tests/protocols/ws/test_order_reader.py",)
_TEXT = ("tests/protocols/ws/test_run_text.py",)
_RUNS = ("tests/gateway/doors/ws/test_runs.py",)

MUTANTS = (
    *mutants(
        "gateway/doors/ws/requests.py",
        ("tests/gateway/test_two_roads.py",),
        (
            "orders that are shed by the run were never received",
            "            endpoint.services.metrics.ws.messages_in += 1\n            source = Source(request_id",
            "            source = Source(request_id",
        ),
        (
            "a run that is shed enters all the same",
            "                self._shed(run, shed, session, now_ns)\n                return True\n",
            "                self._shed(run, shed, session, now_ns)\n",
        ),
    ),
    *mutants(
        "protocols/ws/order_reader.py",
        _READER,
        (
            "a key that occurs twice is read as the last of both",
            'if data.count(b":") != members and _has_duplicate(data, members, place):',
            "if False:",
        ),
        (
            "a window that is over is not noticed in a run",
            "                if deadline < utc_ns:\n",
            "                if deadline < 0:\n",
        ),
        (
            "bounds of price times quantity are not for runs",
            "if not kind.low <= price * quantity <= kind.high or not price or not quantity:",
            "if not price or not quantity:",
        ),
        (
            "a run promises all its orders the answer that the last one wants",
            "                if resp:\n                    break\n",
            "",
        ),
        (
            "a time that puts our clock in doubt is taken as it is",
            "if not -DOUBT_NS < sent_at - utc_ns < DOUBT_NS:",
            "if False:",
        ),
        (
            "kinds are remembered without end",
            "if len(self._kinds) >= MAX_KINDS:",
            "if False:",
        ),
    ),
    *mutants(
        "protocols/ws/event_text.py",
        _TEXT,
        (
            "an order has the owner of the one before it",
            "if event.session != session or event.origin != origin:",
            "if session < 0:",
        ),
        (
            "kinds of events are remembered without end",
            "if len(self._wordings) >= _MAX_WORDINGS:",
            "if False:",
        ),
        (
            "an event has the words of the one before it",
            "            if words != last:\n",
            "            if not last:\n",
        ),
        (
            "a tag goes out as it is",
            '''label = f',"tag":{_quoted(tag)}' if tag else ""''',
            '''label = f',"tag":"{tag}"' if tag else ""''',
        ),
    ),
    *mutants(
        "protocols/ws/answer_text.py",
        _TEXT,
        (
            "the state of a known order is answered as a new one's",
            "if event.exec_type is _REJECTED or event.code or event.flags & DUPLICATE:",
            "if event.exec_type is _REJECTED or event.code:",
        ),
    ),
    *mutants(
        "gateway/doors/ws/run_answers.py",
        _RUNS,
        (
            "an order that trades is answered with its first state",
            "finals = {event.cmd_id: event for event in events if event.cmd_id}",
            "finals = {event.cmd_id: event for event in reversed(events) if event.cmd_id}",
        ),
        (
            "all events of a run are written at once, however much is ready",
            "if ready_bytes >= READY_BYTES:",
            "if False:",
        ),
        (
            "an answer of its own overtakes those before it",
            "                output.write_frames(frames, now_ns)\n                frames.clear()\n",
            "",
        ),
    ),
    *mutants(
        "gateway/doors/ws/requests.py",
        _RUNS,
        (
            "a run that was not taken has used numbers",
            "            session.sender.order_n = numbers_before\n",
            "",
        ),
        (
            "a run is timed by the clock before its step",
            " or services.wall.utc_ns(now_ns) != run.t_in_ns",
            "",
        ),
        (
            "orders after a logout are taken when they are a run",
            "if endpoint.is_leaving or 0 <",
            "if 0 <",
        ),
    ),
    *mutants(
        "gateway/doors/ws/answers.py",
        _RUNS,
        (
            "a logout does not wait for a run",
            "return len(self._open) + len(self._runs)",
            "return len(self._open)",
        ),
        (
            "a run that is split is open no more",
            "                for source in self._apart:\n                    self._open.add(source)\n",
            "                pass\n",
        ),
    ),
    *mutants(
        "gateway/doors/ws/stream_cursor.py",
        _RUNS,
        (
            "every connection encodes the events of a run again",
            "        self._run = {(event.account, event.seq): text for event, text in zip(events, made, strict=True)}\n",
            "",
        ),
    ),
    *mutants(
        "gateway/orders/dispatch.py",
        _RUNS,
        (
            "a run that a former connection sent is not told to the new one",
            "endpoint is not None and endpoint is session.endpoint:  #",
            "endpoint is not None:  #",
        ),
        (
            "tokens that a used id gave back are shown too early",
            "not run.shows_limits or ",
            "True or ",
        ),
    ),
)
