"""A server on this machine, in place of the hub."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Serve = Callable[[type[BaseHTTPRequestHandler]], str]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Return a function that starts a server with a handler and returns its address."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def started(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield started
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()
