"""The app in a process of its own, as people start it, and the memory that it holds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playground.errors import PlaygroundError

_START_SECONDS = 180


@contextmanager
def started(
    model: str | None, say: Callable[[str], None]
) -> Iterator[tuple[subprocess.Popen, str, float]]:
    """Run the app in a process of its own; yield it, its address and when it was started."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "playground",
        "run",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    say("starting the app")
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, *(["--model", model] if model else [])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _await_port(process, port)
        yield process, f"http://127.0.0.1:{port}", start
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _await_port(process: subprocess.Popen, port: int) -> None:
    end = time.perf_counter() + _START_SECONDS
    while time.perf_counter() < end:
        if process.poll() is not None:
            _, told = process.communicate()
            last = told.strip().splitlines()[-1:] or ["it said nothing"]
            raise PlaygroundError(f"The app did not start: {last[0]}")
        with socket.socket() as door:
            door.settimeout(1)
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise PlaygroundError(f"The app did not listen within {_START_SECONDS} seconds.")


def resident(pid: int) -> float | None:
    """Return the resident memory of a process, MiB, where the system tells it."""
    status = Path(f"/proc/{pid}/status")
    if os.name != "posix" or not status.is_file():
        return None
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None
