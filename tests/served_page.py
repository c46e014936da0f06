"""A page that is served in this process, for tests that ask it by HTTP or in a browser."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple


class Served(NamedTuple):
    """A page, and how to ask it."""

    port: int
    desk: object

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, address, method="GET", body=None, **headers):
        """Return the answer's status and content; an underscore in a header's name is a dash."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, address, body, told)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def hand_over(self, content, name="a.png"):
        """Hand an image over; return its id."""
        status, said, _ = self.ask("/images", "POST", content, X_File_Name=name)
        assert status == 201, said
        return json.loads(said)["id"]

    def state(self, job):
        return json.loads(self.ask(f"/images/{job}")[1])

    def wait(self, job):
        """Wait until it is done or failed; return its state."""
        end = time.monotonic() + 60
        while (state := self.state(job))["state"] in ("waiting", "working"):
            assert time.monotonic() < end
            time.sleep(0.02)
        return state


@contextmanager
def served(model, megabytes=20, megapixels=2, names=()):
    """Serve a page while the block lasts."""
    import uvicorn

    from deploy.jobs import open_desk
    from deploy.serve import make_app

    with socket.create_server(("127.0.0.1", 0)) as listening:
        with open_desk(model, None, megapixels) as desk:
            app = make_app(desk, names, megabytes)
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield Served(listening.getsockname()[1], desk)
            finally:
                server.should_exit = True
                thread.join()
        assert not desk.folder.exists()
