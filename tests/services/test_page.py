"""What docs/services.md tells to type, on a project in which nothing has run."""

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.console import SERVERS, Terminal, read_commands
from tests.servers import find_port
from tests.services.servers import BUCKET, PASSWORD, USER, Database, ObjectStore

PAGE = Path(__file__).parents[2] / "docs/services.md"
SECTIONS = (
    "Through MLflow's server",
    "Directly",
    "From mlflow.db to a server",  # the data is there, and no model of it in the other database
    "What stays the same",
    "Backup",
)
ELSEWHERE = "With names and passwords"
"""Installs a package; tests/security/test_canaries.py asks such a server."""


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    shutil.which("pg_dump") is None, reason="pg_dump is not installed: `apt install postgresql-client`"
)
def test_every_command_of_the_page_works(
    terminal: Terminal, cluster: Database, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {port: str(find_port()) for port in ("5000", "8000", "8001")}  # others may have those of the page
    for name, url in SERVERS.items():
        monkeypatch.setitem(SERVERS, name, re.sub(r"(?<=:)\d+", lambda found: ports[found[0]], url))
    served, direct = cluster.make("page_served"), cluster.make("page_direct")
    words = {
        "minigpt@DATABASE_HOST:5432/mlflow": f"{USER}@127.0.0.1:{cluster.port}/page_served",
        "YOUR_PASSWORD": PASSWORD,
        "YOUR_KEY": objects.key_id,
        "YOUR_SECRET": objects.secret,
        "http://MINIO_HOST:9000": objects.url,
        "s3://BUCKET/minigpt": f"s3://{BUCKET}/page",
        "--env sample": "--env test",
        "--port 5000": f"--port {ports['5000']}",
        "127.0.0.1:5000": f"127.0.0.1:{ports['5000']}",
        "make ui": f"make ui PORT={ports['5000']}",
        "make serve": f"make serve PORT={ports['8000']}",
        "--port 8001": f"--port {ports['8001']}",
    }
    for word, actual in words.items():
        terminal.put_in(word, actual)
    page = dict(
        re.findall(r"^###? (.*)\n((?:(?!###? ).*\n)*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {title for title in page if read_commands(page[title])} == {*SECTIONS, ELSEWHERE}
    terminal.type(read_commands("```console\n$ source .venv/bin/activate\n```")[0])

    for title in SECTIONS:
        if title == "Directly":
            terminal.put_in(
                "minigpt@DATABASE_HOST:5432/mlflow", f"{USER}@127.0.0.1:{cluster.port}/page_direct"
            )
        for command in read_commands(page[title]):
            terminal.type(command)
        terminal.interrupt()

    for database in (served, direct):
        assert database.query("SELECT alias FROM registered_model_aliases") == [("champion",)]
    assert not (terminal.project / "mlflow.db").exists()
    outside = terminal.project.parent
    assert (outside / "mlflow.dump").read_bytes().startswith(b"PGDMP")
    assert list((outside / "minigpt-artifacts").rglob("trained_model.keras"))
