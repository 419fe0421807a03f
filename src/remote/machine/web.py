"""HTTP that doesn't give up easily: connections kept open a thread, retries with growing pauses.

What may pass (5xx, 408, 429, a cut or silent connection) is `Passing` and is tried again, up to ten times
in a row without a byte gained, about a minute; anything else the store says is final. Presigned URLs are
secrets: errors name host and path, never the query.
"""

import http.client
import random
import threading
import time
from urllib.parse import urljoin, urlsplit

from trouble import Spoilt, Stopped, Trouble

TRIES = 10
SILENCE_SECONDS = 30
REDIRECTS = 5


class Passing(Exception):
    def __init__(self, detail: str, gained: bool = False):
        super().__init__(detail)
        self.gained = gained


def persistently(attempt, pause: float, stop: threading.Event | None = None):
    """Calls `attempt` until it returns; `pause` seconds double after each failure, 10 s at most."""
    failures = 0
    while True:
        try:
            return attempt()
        except Passing as trouble:
            failures = 1 if trouble.gained else failures + 1
            if failures >= TRIES:
                raise Trouble('store-failed', str(trouble)) from trouble
            seconds = min(10, pause * 2**failures) * random.uniform(0.5, 1)
            if stop is None:
                time.sleep(seconds)
            elif stop.wait(seconds):
                raise Stopped from trouble


local = threading.local()


def ask(method: str, url: str, headers: dict, body=None):
    """A response whose status is 2xx; its body is still to be read, to the end or with `drop`."""
    for _ in range(REDIRECTS + 1):
        response = send(method, url, headers, body)
        if response.status in (301, 302, 303, 307, 308) and method == 'GET':
            response.read()
            url = urljoin(url, response.headers.get('Location', ''))
            continue
        if 200 <= response.status < 300:
            return response
        detail = f'{place(url)} answered {response.status} to {method}'
        drop(url)
        if response.status >= 500 or response.status in (408, 429):
            raise Passing(detail)
        raise (Spoilt if method == 'GET' and response.status in (404, 416) else Trouble)('store-failed', detail)
    raise Trouble('store-failed', f'{place(url)} redirects too often')


def send(method, url, headers, body):
    parts = urlsplit(url)
    target = parts.path + (f'?{parts.query}' if parts.query else '')
    connection = connection_to(url)
    try:
        try:
            connection.request(method, target or '/', body=body() if body else None, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # A peer that refuses a body may close before it has all of it: its answer is worth reading.
            return connection.getresponse()
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        drop(url)
        raise Passing(f'{place(url)}: {type(error).__name__} {error}'.strip()) from error


def connection_to(url: str):
    parts = urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.hostname:
        raise Trouble('internal', f'not a web address: {place(url)}')
    known = local.__dict__.setdefault('connections', {})
    key = (parts.scheme, parts.netloc)
    if key not in known:
        kind = http.client.HTTPSConnection if parts.scheme == 'https' else http.client.HTTPConnection
        known[key] = kind(parts.hostname, parts.port, timeout=SILENCE_SECONDS)
    return known[key]


def drop(url: str) -> None:
    """Closes this thread's connection to the host: after trouble, or with a body left unread."""
    parts = urlsplit(url)
    connection = local.__dict__.get('connections', {}).pop((parts.scheme, parts.netloc), None)
    if connection:
        connection.close()


def place(url: str) -> str:
    parts = urlsplit(url)
    return f'{parts.scheme}://{parts.hostname}{parts.path}'
