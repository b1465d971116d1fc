"""An HTTP server on the loopback interface that misbehaves as it is told."""

import hashlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serves ``files``, by path; a context manager.

    Attributes:
        files: What stands at which path, query string included.
        errors: Path -> HTTP status, and the code that the Hub sends with it.
        breaks: For each of the next answers, the bytes of the body after which the
            connection is closed.
        ranges: Whether parts of a file are sent.
        if_range: Whether a part is sent of the version asked for only.
        gate: Bodies are held back while it is not set.
        requests: Method, path and Range of each request there was.
        sent: Bytes of all bodies so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    if_range: bool = True
    gate: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    sent: int = 0

    def __enter__(self) -> 'FileServer':
        self.gate.set()
        handler = type('Handler', (_Handler,), {'owner': self})
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.host = f'127.0.0.1:{self._server.server_port}'
        self.url = f'http://{self.host}'
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={'poll_interval': 0.02}
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def etag(self, path: str) -> str:
        return f'"{hashlib.sha256(self.files[path]).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    owner: FileServer

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        owner, path, asked = self.owner, self.path, self.headers.get('Range')
        owner.requests.append((self.command, path, asked))
        if path in owner.errors or path not in owner.files:
            status, code = owner.errors.get(path, (404, 'EntryNotFound'))
            self.send_response(status)
            self.send_header('X-Error-Code', code)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        data, etag = owner.files[path], owner.etag(path)
        same = self.headers.get('If-Range') == etag or not owner.if_range
        start = 0
        if asked and owner.ranges and same:
            start = int(asked.removeprefix('bytes=').removesuffix('-'))
            if start >= len(data):
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(data)}')
                self.end_headers()
                return
            self.send_response(206)
            self.send_header(
                'Content-Range', f'bytes {start}-{len(data) - 1}/{len(data)}'
            )
        else:
            self.send_response(200)
        self.send_header('ETag', etag)
        revision = ''.join(path.split('/')[4:5])  # /ORG/NAME/resolve/REVISION/FILE
        named = re.fullmatch('[0-9a-f]{40}', revision)  # by its commit
        commit = revision if named else hashlib.sha1(revision.encode()).hexdigest()
        self.send_header('X-Repo-Commit', commit)
        self.send_header('Content-Length', str(len(data) - start))
        self.end_headers()
        if body:
            owner.gate.wait(20)
            end = start + owner.breaks.pop(0) if owner.breaks else len(data)
            owner.sent += len(data[start:end])
            self.wfile.write(data[start:end])

    def log_message(self, *_: object) -> None:
        pass
