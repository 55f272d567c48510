"""The steps of docs/operations.md, "Access control and TLS", as they stand there: a real Redis with TLS."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.server import free_port

COORD = [sys.executable, "-P", "-m", "coordinator.cli"]


def blocks() -> list[str]:
    """The indented blocks of the section, in order."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("## Access control and TLS\n")[2].partition("\n## ")[0]
    found: list[list[str]] = [[]]
    for line in section.splitlines():
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif found[-1]:
            found.append([])
    return ["\n".join(lines) + "\n" for lines in found if lines]


def block(beginning: str) -> str:
    return next(each for each in blocks() if beginning in each)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the steps, run by a shell, have put everything."""
    made = tmp_path / "etc"
    made.mkdir()
    steps = block("openssl rand") + block("CN=coord CA")
    steps = "\n".join(line for line in steps.splitlines() if not line.startswith("chown"))
    steps = steps.replace("/etc/redis/coord", str(made)).replace("CHECKOUT", str(ROOT))
    steps = steps.replace("redis.example.org", "localhost")
    subprocess.run(["bash", "-euc", steps], cwd=made, check=True, capture_output=True)
    return made


class Guarded:
    """A redis-server with the lines that the guide gives for redis.conf."""

    def __init__(self, folder: Path, client_certificates: bool = False) -> None:
        self.folder, self.port = folder, free_port()
        lines = block("aclfile ") + block("tls-port").replace("tls-port 6379", f"tls-port {self.port}")
        lines = lines.replace("/etc/redis/coord", str(folder))
        if client_certificates:
            lines = lines.replace("tls-auth-clients no", "tls-auth-clients yes")
        (folder / "redis.conf").write_text(f'{lines}\nbind 127.0.0.1\ndir {folder}\nsave ""\n')
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "redis.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                ["redis-server", str(self.folder / "redis.conf")], stdout=log, stderr=log
            )
        end = time.monotonic() + 20
        while (self.folder / "redis.log").read_text().count("Ready to accept") == 0:
            assert time.monotonic() < end and self.process.poll() is None, (
                self.folder / "redis.log"
            ).read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        (self.folder / "redis.log").unlink()

    def coord(self, user: str, *argv: str, options: str = "") -> subprocess.CompletedProcess[str]:
        secret = (self.folder / f"{user}.password").read_text().strip()
        url = f"rediss://{user}:{secret}@localhost:{self.port}/0?ssl_ca_certs={self.folder}/ca.crt{options}"
        file = self.folder / f"{user}.url"
        file.write_text(url)
        environ = {name: value for name, value in os.environ.items() if name != "COORD_REDIS_URL"}
        environ |= {"COORD_REDIS_URL_FILE": str(file), "COORD_HOME": str(self.folder / "home")}
        return subprocess.run([*COORD, *argv], capture_output=True, text=True, env=environ, check=False)


def test_users_and_tls_as_described_and_nothing_lost_at_a_restart(folder: Path) -> None:
    server = Guarded(folder)
    server.start()
    try:
        for part in ("coordinator", "worker", "viewer"):
            done = server.coord(part, "doctor", "--as", part, "--only", "redis", "-q")
            assert done.returncode == 0, done.stdout
        task = server.coord("coordinator", "submit", "do it")
        assert task.returncode == 0, task.stderr
        stranger = subprocess.run(
            ["redis-cli", "-p", str(server.port), "--tls", "--cacert", f"{folder}/ca.crt", "ping"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "NOAUTH" in stranger.stdout
        server.kill()
        server.start()
        found = server.coord("viewer", "task", task.stdout.strip(), "--json")
        assert found.returncode == 0 and '"status": "queued"' in found.stdout, found.stderr
    finally:
        server.kill()


def test_client_certificates(folder: Path) -> None:
    server = Guarded(folder, client_certificates=True)
    server.start()
    try:
        refused = server.coord("viewer", "tasks")
        assert refused.returncode == 5 and refused.stderr.count("\n") == 1
        for command in (
            "req -newkey rsa:2048 -nodes -subj /CN=client -keyout client.key -out client.csr",
            "x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -out client.crt",
        ):
            subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
        options = f"&ssl_certfile={folder}/client.crt&ssl_keyfile={folder}/client.key"
        assert server.coord("viewer", "tasks", options=options).returncode == 0
    finally:
        server.kill()


def test_why_the_default_user_keeps_its_rights(folder: Path) -> None:
    """Redis 7 asks for the default user's rights when it reads its append-only file."""
    if (
        "v=7."
        not in subprocess.run(["redis-server", "-v"], capture_output=True, text=True, check=True).stdout
    ):
        pytest.skip("another Redis than 7 may ask for none, or for others")
    rules = (folder / "users.acl").read_text()
    (folder / "users.acl").write_text(rules.replace("user default off ~* &* +@all", "user default off"))
    server = Guarded(folder)
    server.start()
    try:
        task = server.coord("coordinator", "submit", "do it").stdout.strip()
        server.kill()
        server.start()
        assert server.coord("viewer", "task", task).returncode == 2, "lost"
    finally:
        server.kill()
