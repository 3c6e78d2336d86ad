"""An identity provider as far as OAuth's client credentials go: tokens over HTTP, signed, and the key to check them by."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER: Final = "https://identity.example"
AUDIENCE: Final = "kafka"
KEY_ID: Final = "tests"


def secret_of(client: str) -> str:
    """Every client has one, made of its name."""
    return f"{client}-Secret-7"


class IdentityProvider:
    """Serves `token_url` from its start to its stop. Tokens live for `life_s`; the client's id is their subject."""

    def __init__(self, folder: Path, life_s: int) -> None:
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._life_s = life_s
        self.keys = folder / "jwks.json"
        """the public key, as brokers read it"""
        self.keys.write_text(json.dumps({"keys": [self._public()]}))
        self.given = folder / "tokens.txt"
        """a line a token, for whom"""
        self.given.touch()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(self, client: str) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": client, "scope": "kafka", "iat": now, "exp": now + self._life_s}
        signed = ".".join(_part(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": KEY_ID}, claims))
        return f"{signed}.{_part(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def _public(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {"kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256", "n": _part(_bytes(numbers.n)),
                "e": _part(_bytes(numbers.e))}  # fmt: skip

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                basic = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
                client, _, secret = (unquote(part) for part in basic.partition(":"))
                if secret == secret_of(client):
                    with provider.given.open("a") as given:
                        given.write(f"{client}\n")
                    self._answer(200, {"access_token": provider.token(client), "token_type": "Bearer",
                                       "expires_in": provider._life_s})  # fmt: skip
                else:
                    self._answer(401, {"error": "invalid_client", "error_description": "no such client or secret"})

            def _answer(self, status: int, said: dict[str, Any]) -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
