"""A real HTTP server for tests, on loopback, that behaves as well or as badly as it is told."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE_BYTES = 1 << 14


@dataclass
class Served:
    """A file. The lists have one item for each of the first requests."""

    content: bytes
    ranges: bool = True
    with_length: bool = True
    redirect: str | None = None
    statuses: list[int] = field(default_factory=list)  # answered instead of the content
    retry_after: str | None = None
    cut_after: list[int] = field(default_factory=list)  # bytes of the content; then it hangs up
    silences: list[float] = field(default_factory=list)  # seconds, in the middle of the content
    pause: float = 0  # seconds between pieces
    told_range: str | None = None  # Content-Range, whatever was asked for


@dataclass
class Site:
    url: str
    served: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    agents: set[str | None] = field(default_factory=set)


@contextmanager
def site() -> Iterator[Site]:
    """The server runs until the block is left; set `served` by path."""
    here = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            here.requests.append((self.path, asked))
            here.agents.add(self.headers.get("User-Agent"))
            served = here.served.get(self.path)
            with suppress(OSError):  # the client has gone
                _answer(self, served, asked)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, served: Served | None, asked: str | None) -> None:
    if served is None:
        handler.send_error(404)
        return
    if served.statuses:
        handler.send_response(served.statuses.pop(0))
        if served.retry_after:
            handler.send_header("Retry-After", served.retry_after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    if served.redirect:
        handler.send_response(302)
        handler.send_header("Location", served.redirect)
        handler.end_headers()
        return
    start, size = 0, len(served.content)
    if asked and served.ranges and (found := re.fullmatch(r"bytes=(\d+)-", asked)):
        start = int(found[1])
        if start >= size:
            handler.send_error(416)
            return
        handler.send_response(206)
        told = served.told_range or f"bytes {start}-{size - 1}/{size}"
        handler.send_header("Content-Range", told)
    else:
        handler.send_response(200)
    if served.with_length:
        handler.send_header("Content-Length", str(size - start))
    handler.end_headers()
    end = served.cut_after.pop(0) if served.cut_after else size
    silence = served.silences.pop(0) if served.silences else 0
    for place in range(start, end, PIECE_BYTES):
        handler.wfile.write(served.content[place : min(place + PIECE_BYTES, end)])
        time.sleep(served.pause)
        if place >= size // 2:
            time.sleep(silence)
            silence = 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
