"""A web server on this machine that can misbehave: it cuts connections, knows no ranges, or fails."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Files by path, how to serve them, and the requests that came: (path, Range header)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.ranges = True
        self.cuts: list[int] = []  # one per coming request: bytes after which the connection is cut
        self.errors: list[int] = []  # one per coming request: HTTP status instead of the file
        self.tag = '"v1"'

    def add(self, name: str, data: bytes) -> str:
        """The address of a new file."""
        self.files[f"/{name}"] = data
        return f"{self.url}/{name}"


@contextmanager
def serve() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.requests.append((self.path, wanted))
            data = site.files.get(self.path)
            if data is None or site.errors:
                self.send_error(site.errors.pop(0) if data is not None else 404)
                return
            start = int(re.match(r"bytes=(\d+)-$", wanted)[1]) if wanted and site.ranges else 0
            if self.headers.get("If-Range", site.tag) != site.tag:
                start = 0
            if start and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("ETag", site.tag)
            self.end_headers()
            self.wfile.write(data[start : start + site.cuts.pop(0)] if site.cuts else data[start:])

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
