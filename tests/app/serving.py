"""The app as strangers reach it: served on a free port, asked over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from gradio_client import Client

from playground.app import launch


@dataclass(frozen=True)
class Site:
    """A running app."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """Return a client of its own, as one visitor's program has."""
        return Client(self.url, verbose=False, analytics_enabled=False)

    def get(self, path: str) -> tuple[int, bytes]:
        """Return the answer to a path that is sent as it is, dots and all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def call(self, name: str, values: list[Any]) -> tuple[str, Any]:
        """Ask an endpoint by its name, the page's own too: ("complete" or "error", data)."""
        body = json.dumps({"data": values})  # lone surrogates stay as their escapes
        base = f"{self.url}/gradio_api/call/{name}"
        headers = {"content-type": "application/json"}
        with httpx.Client(timeout=60, verify=False) as visitor:  # plain HTTP: nothing to verify
            joined = visitor.post(base, content=body, headers=headers)
            joined.raise_for_status()
            lines = visitor.get(f"{base}/{joined.json()['event_id']}").text.strip().splitlines()
        return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def served(**settings: object) -> Iterator[Site]:
    """Serve the app with ``PLAYGROUND_*`` settings of its own; it is closed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"PLAYGROUND_{name.upper()}", str(value))
        port = free_port()
        demo = launch(port=port, wait=False)
        try:
            yield Site(demo.server_port)
        finally:
            demo.close(verbose=False)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The app with its default settings, served once for all tests of a folder."""
    with served() as running:
        yield running
