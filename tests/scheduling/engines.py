"""What answers as Docker's engine and as a cluster of Kubernetes do, so far as Dagster's launchers ask."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = tuple[int, Any]


class Container:
    """A container that was asked for; its command is run in a folder that stands for the image's.

    Args:
        asked: What the engine was told.
        workdir: Of the image; null where nothing is to be run.
    """

    def __init__(self, asked: dict[str, Any], workdir: Path | None) -> None:
        self.asked, self.workdir = asked, workdir
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> str:
        if self.process is None:
            return "created"
        return "running" if self.process.poll() is None else "exited"

    def start(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        of_image = {name: os.environ[name] for name in ("PYTHONPATH", "HOME") if name in os.environ} | {
            "PATH": path
        }
        asked = dict(variable.split("=", 1) for variable in self.asked["Env"])
        command = self.asked["Cmd"] if self.workdir else ["true"]
        self.process = subprocess.Popen(
            command, cwd=self.workdir, env=of_image | asked, start_new_session=True
        )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # STOPSIGNAL of the image
            self.process.wait()


class Engine:
    """Docker's, which keeps what it was told.

    Args:
        workdir: Where commands of containers are run; null for no commands.
    """

    def __init__(self, workdir: Path | None = None) -> None:
        self.workdir = workdir
        self.containers: dict[str, Container] = {}

    def answer(self, method: str, path: str, body: Any) -> Answer:
        path = path.partition("?")[0]
        if path == "/version":
            return 200, {"ApiVersion": "1.48", "MinAPIVersion": "1.24"}
        if path.endswith("/containers/create"):
            key = f"{len(self.containers) + 1:064x}"
            self.containers[key] = Container(body, self.workdir)
            return 201, {"Id": key, "Warnings": []}
        found = re.fullmatch(r".*/containers/(\w+)/(json|start|stop)", path)
        container = self.containers.get(found[1]) if found else None
        if found is None or container is None or container.status == "exited":  # AutoRemove
            return 404, {"message": f"No such container: {path}"}
        if found[2] == "json":
            return 200, {"Id": found[1], "State": {"Status": container.status}, "Config": {}}
        getattr(container, found[2])()
        return 204, None


class Cluster:
    """Of Kubernetes, which keeps the Jobs that it was told to make."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.status: dict[str, Any] = {"active": 1}

    def answer(self, method: str, path: str, body: Any) -> Answer:
        found = re.fullmatch(
            r"/apis/batch/v1/namespaces/(\w+)/jobs(?:/([\w-]+)/status)?", path.partition("?")[0]
        )
        if found and method == "POST":
            self.jobs[body["metadata"]["name"]] = body
            return 201, body
        if found and found[2] in self.jobs:
            return 200, self.jobs[found[2]] | {"status": self.status}
        return 404, {"kind": "Status", "code": 404}


@contextmanager
def serving(backend: Engine | Cluster) -> Iterator[str]:
    """Let one answer on loopback, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = backend.answer(self.command, self.path, body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
