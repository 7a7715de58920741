"""TLS for one listener: 1.2 or later, certificates from files, client certificates where a CA for them is named.

The library reports a failed handshake to no one: `why_failed` gives it a coded reason.
"""

import ssl

from gateway.config import schema

LEFT = "tls_left"
"""The peer disconnected during the handshake, as health checks of balancers do."""

_WHY = {
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE"),
        "tls_not_tls",
    ),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls_no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "tls_bad_certificate",
    **dict.fromkeys(("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "VERSION_TOO_LOW"), "tls_version"),
    "NO_SHARED_CIPHER": "tls_no_cipher",
    "UNEXPECTED_EOF_WHILE_READING": LEFT,
}


def server_context(settings: schema.Tls | None) -> ssl.SSLContext | None:
    """The context of one listener, None for plain TCP.

    Raises:
        OSError, ssl.SSLError: a file is missing or is no PEM; nothing is listening yet.
    """
    if settings is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.cert_file, settings.key_file)
    if settings.client_ca_file:
        context.load_verify_locations(settings.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def why_failed(error: Exception) -> str:
    """The coded reason of a handshake that ended with `error`; `tls_alert`: the peer refused the gateway."""
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "_ALERT_" in reason:
        return "tls_alert"
    if isinstance(error, ssl.SSLError):
        return _WHY.get(reason, "tls_failed")
    return "tls_timeout" if isinstance(error, ConnectionAbortedError | TimeoutError) else LEFT
