"""Answers runs of plain orders: the answer to each order, and after it the events that it caused, as one output."""

from collections.abc import Sequence

from gateway.doors.services import Services
from gateway.doors.ws.answers import PLACE, Answers, RunSources
from gateway.doors.ws.stream_cursor import READY_BYTES, EncodedEvents, StreamCursor
from gateway.sessions.reply import RunReply
from protocols.messages import OrderEvent
from protocols.ws import report
from protocols.ws.answer_text import place_answers
from protocols.ws.framing import TEXT_HEADERS
from protocols.ws.session import WsSession


class RunAnswers:
    """Writes one connection's answers to runs. What is not usual, `Answers` writes."""

    __slots__ = ("_answers", "_cursor", "_machine", "_services", "_shared")

    def __init__(
        self, services: Services, machine: WsSession, answers: Answers, cursor: StreamCursor, shared: EncodedEvents
    ) -> None:
        """answers, cursor: of the same connection. shared: see `StreamWriter`."""
        self._services = services
        self._machine = machine
        self._answers = answers
        self._cursor = cursor
        self._shared = shared

    def write(self, run: RunReply, events: Sequence[OrderEvent], now_ns: int) -> None:
        """events: those of the run that the session may be sent, in order."""
        output, first = self._machine.output, run.commands.cmd_id
        answers = self._texts(run, events, now_ns)
        is_live = self._cursor.is_live
        texts = self._shared.live_run(events) if is_live else [b""] * len(events)
        headers, ready_bytes, sent = TEXT_HEADERS, len(output.unwritten), 0
        frames: list[bytes] = []
        for event, text in zip(events, texts, strict=True):
            answer = answers.pop(event.cmd_id, b"")
            if answer:
                frames.append(frame := headers[len(answer)] + answer)
                ready_bytes += len(frame)
            elif answer is None:
                output.write_frames(frames, now_ns)
                frames.clear()
                self._answer_alone(run, event.cmd_id - first, events, now_ns)
                ready_bytes = len(output.unwritten)
            if is_live:
                if ready_bytes >= READY_BYTES:
                    self._cursor.fall_behind(event.seq)
                    is_live = False
                    continue
                frames.append(frame := headers[len(text)] + text)
                ready_bytes += len(frame)
                sent += 1
        output.write_frames(frames, now_ns)
        self._services.metrics.ws.messages_out += sent

    def _texts(self, run: RunReply, events: Sequence[OrderEvent], now_ns: int) -> dict[int, bytes | None]:
        """The answer to each order, by cmd_id, as of `place_answers`; empty when they are no longer wanted, or another
        connection asked."""
        sources = run.sources
        assert isinstance(sources, RunSources)
        if not self._answers.open.close_run(sources):
            return {}
        finals = {event.cmd_id: event for event in events if event.cmd_id}
        blocks = self._answers.limits(_charged(run), None, now_ns)
        out_ns, first = self._services.wall.utc_ns(now_ns), run.commands.cmd_id
        answers = place_answers(sources.run, first, finals, out_ns, blocks)
        self._services.metrics.ws.messages_out += len(answers) - list(answers.values()).count(None)
        return answers

    def _answer_alone(self, run: RunReply, index: int, events: Sequence[OrderEvent], now_ns: int) -> None:
        sources, cmd_id = run.sources, run.commands.cmd_id + index
        assert isinstance(sources, RunSources)
        final = [event for event in events if event.cmd_id == cmd_id][-1]
        outcome = report.answer(PLACE, final, self._services.instruments)
        self._answers.conclude(sources.make(index), outcome, now_ns, _charged(run))


def _charged(run: RunReply) -> tuple[str, ...]:
    """The buckets that were charged for each order of the run."""
    return (run.bucket, "msgs") if run.bucket else ("msgs",)
