"""Judges a FIX Logon: which session it names, whose identity it proves, and whether it may take the session over.

In this order: the session and the listener (`_row`), the proof (`_prove`, with `gateway.auth.authenticator`), a live
connection of the same session (`admit`), then the Logon as a message (`FixEndpoint.attach`, which asks the session
machine and `logon_options.LogonTerms`). Beside a live connection a refused Logon changes nothing of the session.
"""

from collections.abc import Mapping

import msgspec

from gateway.auth.authenticator import Client, Denied, Proof
from gateway.config import schema
from gateway.config.addresses import is_loopback
from gateway.config.key_material import permission_for
from gateway.doors.connection import Connection
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.fix.logon_options import window_ms
from gateway.doors.services import Asked, Services
from gateway.sessions.session import Session
from limits.limiter import ALLOWED
from protocols.fix import tags
from protocols.fix.session.first_message import LogonClaim
from protocols.fix.session.logon import LogonRefusal, whole_number
from protocols.fix.session.settings import SessionSettings
from protocols.fix.times import parse_ns
from protocols.signing import fix_logon_text
from protocols.units import NS_PER_MS


class Elsewhere(msgspec.Struct, frozen=True):
    """The client has proved itself, and its session is not here yet."""

    row: schema.FixSessionRow
    client: Client


_UNSAID = {tags.SENDER_COMP_ID: "", tags.TARGET_COMP_ID: "", tags.MSG_SEQ_NUM: "", tags.SENDING_TIME: ""}


class FixLogon:
    """Judges the first message of a connection."""

    def __init__(
        self,
        services: Services,
        endpoints: Mapping[tuple[str, str], FixEndpoint],
        configured: Mapping[tuple[str, str], schema.FixSessionRow],
    ) -> None:
        """endpoints, configured: by the peer's CompID and the gateway's."""
        self._services = services
        self._endpoints = endpoints
        self._configured = configured
        fix = services.settings.fix
        wanted = {row.listener for row in fix.sessions if row.auth == "key"}
        # The listeners at which some session needs a key.
        self._guarded = frozenset(row.name for row in fix.listeners if "" in wanted or row.name in wanted)

    def admit(
        self, claim: LogonClaim, listener: schema.FixListener, connection: Connection, now_ns: int
    ) -> FixEndpoint | Elsewhere | Denied | LogonRefusal:
        """The session that this Logon(A) proves to be, which owns the connection from now on; or why not, for the log.

        LogonRefusal: it has proved to be a session that has a living link, and what it requests is not possible.
        """
        fields = claim.message.fields
        row = self._row(claim, listener)
        if isinstance(row, str):
            if listener.name not in self._guarded:
                return Denied(row)
            # Costs as much time as the refusal of a known session, and is counted like it.
            shown = _proof(fields, connection.peer_ip)
            unknown = self._services.authenticator.authenticate(("",), shown, "fix.order_entry", now_ns)
            return msgspec.structs.replace(unknown, cause=row) if isinstance(unknown, Denied) else Denied(row)
        session, moves = self._services.sessions.by_id[row.id], self._services.moves
        client: Client | Denied = session.client
        if row.auth == "key":
            client = self._prove(
                row, session, _proof(fields, connection.peer_ip), fields.get(tags.USERNAME, ""), now_ns
            )
        if isinstance(client, Denied):
            return client
        if moves is not None and not moves.owns(row.id):
            return Elsewhere(row, client)
        return self._attach(claim, row, client, connection, now_ns)

    def bring(self, elsewhere: Elsewhere, asked: Asked, now_ns: int) -> None:
        """Have the session here, from another gateway if need be."""
        moves, row = self._services.moves, elsewhere.row
        assert moves is not None
        moves.claim(row.id, row.auth != "none" and row.on_duplicate != "reject", asked, now_ns)

    def attach(
        self, claim: LogonClaim, elsewhere: Elsewhere, connection: Connection, now_ns: int
    ) -> FixEndpoint | Denied | LogonRefusal:
        """What `admit` says once the session is here."""
        return self._attach(claim, elsewhere.row, elsewhere.client, connection, now_ns)

    def _attach(
        self, claim: LogonClaim, row: schema.FixSessionRow, client: Client, connection: Connection, now_ns: int
    ) -> FixEndpoint | Denied | LogonRefusal:
        endpoint = self._endpoints[_key_of(claim)]
        if endpoint.has_living_link:
            if self._services.orders.venue.draining:
                return Denied("draining")  # the living link needs its numbers for its own Logout(5)
            if row.auth == "none" or row.on_duplicate == "reject":
                return Denied("duplicate")
        return endpoint.attach(connection, claim.message, client, now_ns) or endpoint

    def _row(self, claim: LogonClaim, listener: schema.FixListener) -> schema.FixSessionRow | str:
        """The configured session that the Logon names, or why it may not log on at this listener."""
        row = self._configured.get(_key_of(claim))
        if row is None or (row.listener and row.listener != listener.name):
            return "unknown_session"
        if row.version != claim.begin_string:
            return "wrong_version"
        if row.auth == "none" and not (listener.insecure and is_loopback(listener.host)):
            return "credentials_required"
        return row

    def _prove(
        self, row: schema.FixSessionRow, session: Session, proof: Proof, username: str, now_ns: int
    ) -> Client | Denied:
        """The client that the Logon's signature proves, or why it may not log on."""
        keys = self._services.authenticator.keys_for(row, username, now_ns)
        client = self._services.authenticator.authenticate(keys, proof, permission_for(row), now_ns)
        if isinstance(client, Denied):
            return client
        if not self._services.authenticator.may_use(client, row):
            return Denied("session_of_another_account")
        # A reconnect is free. A takeover is charged, so that one after the other is limited.
        if session.is_taken and self._services.sessions.charge_logon(client, now_ns) is not ALLOWED:
            return Denied("rate")
        return client

    def explanation_for(
        self, claim: LogonClaim, listener: schema.FixListener, proven: LogonRefusal | None
    ) -> tuple[SessionSettings, LogonRefusal | None] | None:
        """The session whose Logout(5) answers a refused Logon(A), and the reason; None = silence, which is usual.

        A Logout is sent only when the peer's numbers begin at 1 with this logon, so that no number of the session is
        used up; to strangers, only when `refused_logon` is `logout`. proven: why it is refused despite its proof.
        """
        row, fields = self._row(claim, listener), claim.message.fields
        if (
            isinstance(row, str)
            or _key_of(claim) not in self._endpoints
            or (proven is None and row.refused_logon != "logout")
        ):
            return None
        is_reset = fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y" and whole_number(fields.get(tags.MSG_SEQ_NUM)) == 1
        if not (row.reset_on_logon or (proven is not None and is_reset)):
            return None
        return self._endpoints[_key_of(claim)].machine.settings, proven

    def refuse(self, cause: str, detail: str, peer_ip: str, key: str = "") -> None:
        """Count and log a refused logon; the peer does not learn the cause."""
        self._services.metrics.count_failed_logon("fix", cause)
        self._services.log("logon.refused", door="fix", cause=cause, detail=detail, key=key, peer=peer_ip)


def _proof(fields: dict[int, str], peer_ip: str) -> Proof:
    """The proof in a Logon(A)."""
    try:
        sent_at_ns = parse_ns(fields.get(tags.SENDING_TIME, ""))
    except ValueError:
        sent_at_ns = 0  # far too old: refused like any other, in the same time
    return Proof(
        signed=fix_logon_text({**_UNSAID, **fields}),
        signature_b64=fields.get(tags.PASSWORD) or fields.get(tags.RAW_DATA, ""),
        peer_ip=peer_ip,
        sent_at_ns=sent_at_ns,
        window_ns=window_ms(fields) * NS_PER_MS,
    )


def _key_of(claim: LogonClaim) -> tuple[str, str]:
    """The session that the Logon names: the peer's CompID, and the gateway's."""
    fields = claim.message.fields
    return fields.get(tags.SENDER_COMP_ID, ""), fields.get(tags.TARGET_COMP_ID, "")
