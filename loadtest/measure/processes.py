"""Measured processes: started on a free port of this machine, watched, and stopped by their id."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Failed(Exception):
    """A measurement could not be made."""


def output(*command, **options):
    """A command's output; if it fails, so does the measurement."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, **options)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:] or done.stdout[-2000:]}")
    return done.stdout.strip()


def tool(name):
    """The path of a tool that `scripts/tool` installs."""
    return output("scripts/tool", name)


class Server:
    """A process that prints its address on its first lines."""

    def __init__(self, command, env=None, cwd=None, log=None, listening=r"http://([\d.]+:\d+)"):
        self.log = Path(log)
        self.spawned = time.monotonic()
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command], env=env, cwd=cwd or self.log.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.address = self._address(re.compile(listening))

    def _address(self, listening):
        for _ in range(60_000):
            if found := listening.search(self.log.read_text(errors="replace")):
                return found.group(1)
            if self.process.poll() is not None:
                raise Failed(f"it did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.001)
        self.stop()
        raise Failed(f"it does not say where it listens: {self.log.read_text(errors='replace')[-2000:]}")

    @property
    def url(self):
        return f"http://{self.address}"

    def cpu(self):
        """Seconds of CPU it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss(self):
        """Its resident memory in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE

    def stop(self):
        """Stops it as a process manager does, and waits for its end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Tasklane(Server):
    """The service with its production settings: metrics on, production logging."""

    def __init__(self, bench, store, prefix=(), **settings):
        env = {
            "PATH": os.environ["PATH"],
            "HOST": "127.0.0.1",
            "PORT": "0",
            "ENVIRONMENT": "production",
            "METRICS_LISTEN": "127.0.0.1:0",
            "BETTER_AUTH_SECRET": bench.secret,
            "DATABASE_URL": store.url,
            "MAX_TASKS_PER_USER": "10000000",
            **{name: str(value) for name, value in settings.items()},
        }
        listening = r'"listening","address":"http://([\d.:]+)"'
        super().__init__(
            [*prefix, bench.binary("tasklane"), "serve"], env, bench.work, bench.work / f"tasklane-{bench.number()}.log", listening
        )
        self.metrics_url = re.search(r'"serving metrics","address":"([^"]+)"', self.log.read_text()).group(1)

    def metrics(self):
        """Its metrics by name and labels."""
        with urllib.request.urlopen(f"{self.metrics_url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}

    def stop(self):
        """Stops it; a clean stop is part of every measurement."""
        ended = self.process.poll() is None and super().stop()
        if ended:
            raise Failed(f"the server ended with {ended}: {self.log.read_text()[-2000:]}")


class PocketBase(Server):
    """PocketBase with a collection of tasks that only their owner can see."""

    password = "correct horse battery staple"

    def __init__(self, bench, users):
        data = bench.work / f"pocketbase-{bench.number()}"
        binary = tool("pocketbase")
        folder = ["--dir", data / "data", "--migrationsDir", data / "migrations", "--hooksDir", data / "hooks"]
        output(binary, "superuser", "upsert", "root@example.org", self.password, *folder)
        command = [binary, "serve", "--http", f"127.0.0.1:{bench.free_port()}", *folder]
        super().__init__(command, None, bench.work, data.with_suffix(".log"))
        self.wait()
        root = self.call("POST", "/api/collections/_superusers/auth-with-password",
                         {"identity": "root@example.org", "password": self.password})["token"]
        # The rate limiter is off by default; the log is kept small, as it would be in production.
        self.call("PATCH", "/api/settings", {"logs": {"maxDays": 0, "minLevel": 8}}, root)
        owners = self.call("GET", "/api/collections/users", None, root)["id"]
        own = "owner = @request.auth.id"
        self.call("POST", "/api/collections", {
            "name": "tasks", "type": "base", "listRule": own, "viewRule": own, "createRule": own,
            "updateRule": own, "deleteRule": own,
            "fields": [
                {"name": "owner", "type": "relation", "collectionId": owners, "maxSelect": 1, "required": True},
                {"name": "title", "type": "text", "max": 200, "required": True},
                {"name": "description", "type": "text", "max": 2000},
                {"name": "completed", "type": "bool"},
                {"name": "created", "type": "autodate", "onCreate": True},
                {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
            ],
            "indexes": ["CREATE INDEX tasks_owner ON tasks (owner, created)"],
        }, root)
        self.users = []
        for number in range(users):
            user = self.call("POST", "/api/collections/users/records", {
                "email": f"user{number}@example.org", "password": self.password, "passwordConfirm": self.password,
            }, root)
            token = self.call("POST", f"/api/collections/users/impersonate/{user['id']}", {"duration": 86400}, root)
            self.users.append((user["id"], token["token"]))

    def wait(self):
        for _ in range(3000):
            try:
                return self.call("GET", "/api/health")
            except urllib.error.URLError:
                time.sleep(0.01)
        raise Failed("PocketBase does not answer")

    def call(self, method, path, body=None, token=""):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": token, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")


class Postgres:
    """A private cluster of `scripts/postgres`, with a database for each use."""

    # Large enough that no checkpoint falls into a measurement; the same for everything that is compared.
    settings = ("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h")

    def __init__(self, bench):
        self.bench = bench
        self.folder = bench.work / "postgres"
        self.base = output("scripts/postgres", "start", self.folder, *self.settings)
        self.bin = Path(output("scripts/postgres", "bin"))

    def program(self, name):
        """One of PostgreSQL's programs: beside the server, where its link points, or on PATH."""
        server = self.bin / "postgres"
        for place in (self.bin, server.resolve().parent):
            if (place / name).exists():
                return place / name
        if found := shutil.which(name):
            return found
        raise Failed(f"PostgreSQL's {name} is missing (Debian: postgresql-client)")

    def version(self):
        return output(self.bin / "postgres", "--version")

    def psql(self, url, sql):
        return output(self.program("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", url, "-c", sql)

    def database(self):
        """A new database with the service's tables."""
        name = f"load_{self.bench.number()}"
        self.psql(self.base, f"CREATE DATABASE {name}")
        return Database(self, self.base.rsplit("/", 1)[0] + "/" + name)

    def stop(self):
        output("scripts/postgres", "stop", self.folder)
        shutil.rmtree(self.folder)


class Database:
    """A store in PostgreSQL."""

    def __init__(self, postgres, url):
        self.postgres, self.url = postgres, url
        migrate(postgres.bench, url)

    def sql(self, text):
        return self.postgres.psql(self.url, text)

    def seed(self, users, tasks, first=0):
        """Inserts users with this many tasks each, and updates statistics as after a while of use."""
        self.sql(f"""
            INSERT INTO users (id, subject, seq)
            SELECT lpad(u::text, 32, '0')::uuid, lpad(u::text, 32, '0')::uuid::text, {tasks}
            FROM generate_series({first}, {first + users - 1}) u;
            INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title, description)
            SELECT lpad(u::text, 32, '0')::uuid, (lpad(u::text, 16, '0') || lpad(t::text, 16, '0'))::uuid,
                now() - (200000 - t) * interval '1 s', now() - (200000 - t) * interval '1 s', t, t % 3 = 0,
                'Task ' || t || ' of user ' || u, 'What there is to say about it, in one line of sixty letters.'
            FROM generate_series({first}, {first + users - 1}) u, generate_series(1, {tasks}) t""")
        self.sql("VACUUM ANALYZE")

    def drop(self):
        self.postgres.psql(self.postgres.base, f"DROP DATABASE {self.url.rsplit('/', 1)[1]}")


class Sqlite:
    """A store in a file."""

    def __init__(self, bench):
        self.path = bench.work / f"load-{bench.number()}.db"
        self.url = f"sqlite://{self.path}"
        migrate(bench, self.url)

    def seed(self, users, tasks, first=0):
        """The same as in PostgreSQL."""
        now = int(time.time() * 1e6)
        with sqlite3.connect(self.path) as base:
            # Python's SQLite may be older than the service's.
            base.create_function("octet_length", 1, lambda text: text and len(text.encode()), deterministic=True)
            numbers = range(first, first + users)
            base.executemany(
                "INSERT INTO users (id, subject, seq, created_at) VALUES (?, ?, ?, ?)",
                ((bytes.fromhex(f"{u:032d}"), subject(u), tasks, now) for u in numbers),
            )
            made = lambda t: now - (200000 - t) * 1_000_000
            base.executemany(
                "INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title, description)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'What there is to say about it, in one line of sixty letters.')",
                (
                    (bytes.fromhex(f"{u:032d}"), bytes.fromhex(f"{u:016d}{t:016d}"), made(t), made(t), t,
                     int(t % 3 == 0), f"Task {t} of user {u}")
                    for u in numbers for t in range(1, tasks + 1)
                ),
            )
        base.close()

    def drop(self):
        for file in self.path.parent.glob(self.path.name + "*"):
            file.unlink()


def migrate(bench, url):
    env = {"PATH": os.environ["PATH"], "ENVIRONMENT": "production", "BETTER_AUTH_SECRET": bench.secret, "DATABASE_URL": url}
    output(bench.binary("tasklane"), "migrate", env=env)


def dashed(digits):
    """32 hexadecimal digits as a UUID."""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def subject(user):
    """The subject of the user with this number, which is a UUID."""
    return dashed(f"{user:032d}")


def task_id(user, task):
    """The id of a seeded task."""
    return dashed(f"{user:016d}{task:016d}")
