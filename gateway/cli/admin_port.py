"""The admin port as commands reach it: which gateway, whose token, one request at a time."""

import http.client
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from gateway.cli.options import FILE, config_option
from gateway.config.load import ConfigErrors, load

Answer = dict[str, Any]
_TIMEOUT_S = 15.0
_MAX_ANSWER_BYTES = 16_777_216
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  how to reach a listener on every address


class NoAnswer(click.ClickException):
    """Nobody answers at the admin port. is_closed: because nobody listens there."""

    def __init__(self, text: str, is_closed: bool) -> None:
        super().__init__(text)
        self.is_closed = is_closed


class AdminPort(msgspec.Struct, frozen=True):
    """Where the admin port is, and the operator's token."""

    url: str
    token: str

    def ask(self, method: str, path: str, asked: dict[str, object] | None = None, doubt: str = "") -> Answer:
        """The answer's JSON. A refusal, or no answer, ends the command with its text. doubt: what is unknown then.

        Raises:
            NoAnswer, click.ClickException: as said.
        """
        try:
            status, body = self._exchange(method, path, b"" if asked is None else msgspec.json.encode(asked))
        except (OSError, http.client.HTTPException) as error:
            text = f"{self.url} does not answer: {error or type(error).__name__}{doubt}"
            raise NoAnswer(text, isinstance(error, ConnectionRefusedError)) from error
        try:
            answer = msgspec.json.decode(body, type=Answer)
        except msgspec.DecodeError:
            raise click.ClickException(f"{self.url} is not an admin port of Penstock: status {status}") from None
        if status >= 400 and "mode" not in answer:
            wrong = answer.get("error", {})
            field = f"{wrong['field']}: " if wrong.get("field") else ""
            raise click.ClickException(f"{field}{wrong.get('text', f'status {status}')}")
        return answer

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        # Directly to the port: no proxy and no redirect may see an operator's token.
        where = urlsplit(self.url)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        link = kind(where.hostname or "", where.port, timeout=_TIMEOUT_S)
        headers = {"Content-Type": "application/json"} if body else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            link.request(method, f"{where.path.rstrip('/')}{path}", body or None, headers)
            response = link.getresponse()
            return response.status, response.read(_MAX_ANSWER_BYTES)
        finally:
            link.close()


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select a gateway, and pass that gateway as the first argument."""

    @config_option("the gateway's configuration, which has the address of its admin port")
    @click.option("--url", default="", help="address of the admin port, such as http://10.0.0.5:9090, instead of -c")
    @click.option(
        "--token-file",
        type=FILE,
        envvar="PENSTOCK_TOKEN_FILE",
        help="file with your token of [[admin.tokens]]",
    )
    @wraps(command)
    def call(path: Path, url: str, token_file: Path | None, **arguments: object) -> None:
        command(AdminPort(_checked(url) or _url_of(path), _token_in(token_file)), **arguments)

    return call


def _checked(url: str) -> str:
    if not url:
        return ""
    try:
        where = urlsplit(url)
        is_sound = where.scheme in ("http", "https") and bool(where.hostname) and where.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise click.BadParameter("write it like http://127.0.0.1:9090", param_hint="--url")
    return url


def _url_of(path: Path) -> str:
    try:
        admin = load(path).admin
    except ConfigErrors as errors:
        raise click.ClickException(f"{errors}\nor say where the admin port is: --url http://HOST:PORT") from errors
    if admin is None or not admin.port:
        why = "has no [admin]" if admin is None else "leaves the admin port open (0)"
        raise click.ClickException(f"{path} {why}: say where it is with --url http://HOST:PORT")
    host = _ANY_ADDRESS.get(admin.host, admin.host)
    return f"http://[{host}]:{admin.port}" if ":" in host else f"http://{host}:{admin.port}"


def _token_in(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {getattr(error, 'strerror', None) or 'not ASCII text'}") from error
    if not token or not token.isprintable():
        raise click.ClickException(f"{path} does not hold one token on one line")
    return token
