"""TLS for one listener: 1.2 or later, certificates from files, client certificates where a CA for them is named."""

import ssl
from typing import Any

from gateway import config


def server_context(settings: config.Tls | None) -> ssl.SSLContext | None:
    """The context of one listener, None for plain TCP.

    Raises:
        OSError, ssl.SSLError: a file is missing or is no PEM; nothing listens yet.
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


def listen_options(settings: config.Tls | None) -> dict[str, Any]:
    """Time-outs for `loop.create_server`: asyncio's own are 60 and 30 s, an age for somebody unknown."""
    return {"ssl_handshake_timeout": 5.0, "ssl_shutdown_timeout": 2.0} if settings else {}
