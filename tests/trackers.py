"""Servers that are no tracker, or none that answers: every way of being wrong that a test can bring about."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = "<!doctype html><html><body>Welcome</body></html>"


@contextmanager
def http_server(status: int, body: str, kind: str = "text/html", asked: "list[str] | None" = None) -> Iterator[str]:
    """A web server that answers every question in the same way; yields its address, lists the paths ``asked`` for."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if asked is not None:
                asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = answer  # noqa: N815 (the names are the base class's)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_server(says: bytes = b"", *, hangs_up: bool = False) -> Iterator[str]:
    """A socket that takes every connection, says this (or nothing) and then waits, or hangs up; yields its address."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if hangs_up:
                    connection.recv(65536)
                    connection.close()
                    continue
                connection.sendall(says)
                taken.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()
