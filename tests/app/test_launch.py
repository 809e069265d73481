"""Where the app listens: the port asked for, the next free one, or one clear sentence."""

from __future__ import annotations

import socket

import pytest

from playground.app import free_port
from playground.errors import PlaygroundError


def listening(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def free_pair() -> int:
    """Return a port that is free, as is the one above it."""
    for _ in range(50):
        with listening() as first:
            port = first.getsockname()[1]
            try:
                with listening(port + 1):
                    return port
            except OSError:
                continue
    raise RuntimeError("no two free ports side by side")


def test_a_free_port_is_taken_as_asked():
    port = free_pair()
    assert free_port("127.0.0.1", port) == port


def test_the_next_port_is_taken_where_one_is_in_use():
    port = free_pair()
    with listening(port):
        assert free_port("127.0.0.1", port) == port + 1


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("203.0.113.1", 7860, 'The app cannot listen on "203.0.113.1" at ports 7860 to 7879 (Cannot assign requested address); choose others with --host and --port.'),
        ("203.0.113.1", 65_530, 'The app cannot listen on "203.0.113.1" at ports 65530 to 65535 (Cannot assign requested address); choose others with --host and --port.'),
        ("127.0.0.1", 0, "The port is 0; it must be from 1 to 65535."),
        ("127.0.0.1", -1, "The port is -1; it must be from 1 to 65535."),
        ("127.0.0.1", 65_536, "The port is 65536; it must be from 1 to 65535."),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_listened_on_is_named(host, port, message):
    with pytest.raises(PlaygroundError) as error:
        free_port(host, port)
    assert str(error.value) == message


def test_twenty_ports_in_use_are_enough():
    first = 20_000
    held = []
    try:
        for port in range(first, first + 20):
            try:
                held.append(listening(port))
            except OSError:
                continue  # another program holds it: in use as well
        with pytest.raises(PlaygroundError) as error:
            free_port("127.0.0.1", first)
    finally:
        for server in held:
            server.close()
    assert str(error.value) == (
        'The app cannot listen on "127.0.0.1" at ports 20000 to 20019 (Address already in use); '
        "choose others with --host and --port."
    )
