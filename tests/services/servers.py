"""Real servers on loopback: PostgreSQL, an S3-compatible store and MLflow's, each a process of its own."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import psycopg2

from tests.servers import PATIENCE, answers, find_port, make_mlflow_command, wait_until

USER = "minigpt"
PASSWORD = "pass-of-the-database"  # in no message, no log, no tag
BUCKET = "models"
USERS: dict[str, str | list[str]] = {"minigpt": "s3:*", "reader": ["s3:GetObject", "s3:ListBucket"]}


class Server:
    """A process that serves until the block ends, however it does; it can be ended before, and started again.

    Args:
        command: Of the process.
        log: Keeps what it says.
        is_ready: Whether it answers.
        variables: Of its environment, all of them.
        user: Whose process it is; null means the one of the tests.
        cwd: Its working directory.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        is_ready: Callable[[], bool],
        variables: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path = Path("/"),
    ) -> None:
        self._command, self._log, self._is_ready = command, log, is_ready
        self._options: dict[str, Any] = {"env": variables, "cwd": cwd, **as_user(user)}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True, **self._options
            )
        try:
            wait_until(self._is_ready, lambda: self.is_running)
        except AssertionError as error:
            self.end()
            raise AssertionError(f"{self._command} does not answer:\n{self.said}") from error

    def end(self) -> None:
        """End it as Ctrl-C does, and wait; once it has ended do nothing."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def said(self) -> str:
        """What it has said by now."""
        return self._log.read_text(errors="replace")


def as_user(user: str | None) -> dict[str, Any]:
    """Return the options of a process of another user."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


@dataclass(frozen=True)
class Database:
    """A database on a PostgreSQL server that asks for a password.

    Args:
        server: Its process.
        port: Where it listens.
        name: Of the database.
    """

    server: Server
    port: int
    name: str = "postgres"

    @property
    def uri(self) -> str:
        """Its address, with the password."""
        return f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{self.name}"

    def make(self, name: str) -> "Database":
        """Make another one beside it."""
        connection = connect(self.port, self.name)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return replace(self, name=name)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = connect(self.port, self.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()


def find_postgresql() -> Path | None:
    """Return the folder of PostgreSQL's programs, which some systems keep off PATH."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


@contextmanager
def serving_postgresql(programs: Path) -> Iterator[Database]:
    """Serve a new cluster, whose owner alone may enter.

    PostgreSQL refuses to run as root, and root's temporary folders are closed to others.
    """
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in ("postgres", "nobody") if name in known) if os.getuid() == 0 else None
    port = find_port()
    folder = Path(tempfile.mkdtemp(prefix="minigpt-postgresql-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        locale = ["--locale=C", "--encoding=UTF8"]
        authentication = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={folder / 'password'}"]
        subprocess.run(
            [programs / "initdb", "--pgdata", folder / "data", *locale, *authentication, "--no-sync"],
            check=True, capture_output=True, cwd="/", **as_user(user),
        )  # fmt: skip
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [programs / "postgres", "-D", folder / "data", *options]
        server = Server(command, folder / "log", lambda: accepts_connections(port), user=user)
        with server:
            yield Database(server, port)
    finally:
        shutil.rmtree(folder)


def accepts_connections(port: int) -> bool:
    try:
        connect(port, "postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def connect(port: int, database: str) -> Any:
    return psycopg2.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname=database)


@dataclass(frozen=True)
class ObjectStore:
    """An S3-compatible store with a bucket, and a user who may do everything in it.

    Args:
        server: Its process.
        url: Where it answers.
        key_id: Of the user.
        secret: Of the user.
        reader: Key and secret of another one, who may only read.
    """

    server: Server
    url: str
    key_id: str
    secret: str
    reader: tuple[str, str]

    @property
    def variables(self) -> dict[str, str]:
        """Return what an environment names of it, as docs/services.md says."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self, service: str = "s3") -> Any:
        return make_client(service, self.url, self.key_id, self.secret)

    def list_objects(self) -> dict[str, int]:
        """Return the size of each object, by its key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def read(self, key: str) -> bytes:
        return bytes(self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read())


def make_client(service: str, url: str, key_id: str, secret: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, aws_access_key_id=key_id, aws_secret_access_key=secret,
        region_name="us-east-1",
    )  # fmt: skip


@contextmanager
def serving_object_store(folder: Path) -> Iterator[ObjectStore]:
    port = find_port()
    url = f"http://127.0.0.1:{port}"
    server = Server(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        folder / "moto.log",
        lambda: answers(url),
    )
    with server:
        iam = make_client("iam", url, "nobody", "nothing")
        user, reader = (make_user(iam, name, actions) for name, actions in USERS.items())
        make_client("s3", url, *user).create_bucket(Bucket=BUCKET)
        plain = {"Content-Type": "text/plain"}  # from then on the store checks every signature
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)).close()
        yield ObjectStore(server, url, *user, reader)


def make_user(iam: Any, name: str, actions: str | list[str]) -> tuple[str, str]:
    """Make a user who may do these on all there is, and return id and secret of a key."""
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@contextmanager
def serving_mlflow(
    database: Database, store: ObjectStore, folder: Path, bucket: str = BUCKET
) -> Iterator[str]:
    """Serve MLflow, which alone knows the password of the database and the key of the object store."""
    port = find_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "MLFLOW_BACKEND_STORE_URI": database.uri,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/served",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    server = Server(
        make_mlflow_command("server", port=port),
        folder / "mlflow.log",
        lambda: answers(f"{url}/health"),
        os.environ | store.variables | variables,
    )
    with server:
        yield url
