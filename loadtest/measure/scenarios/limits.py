"""Compared with the limits of the HTTP stack and the database: a bare actix-web server, and pgbench."""

import subprocess

from ..load import Users, lists, posts, raw_answer, unmodified
from ..processes import Failed, Server, Tasklane


def run(bench):
    reads(bench)
    writes(bench)


def reads(bench):
    users = Users(bench, 200)
    store = bench.store("sqlite")
    store.seed(200, 20)
    with Tasklane(bench, store) as server:
        bench.load.one(server, lists(users), seconds=1)
        compare(bench, server, 1, "GET list of 20 tasks, 200 users, 64 connections", lists(users), 200)
        compare(bench, server, 2, "the same with If-None-Match", unmodified(users, server.address), 304)
        compare(bench, server, 3, "GET one task", users.each("GET", "/api/{user}/tasks/{task 7}"), 200)
    store.drop()


def compare(bench, server, number, what, requests, status):
    """The server compared with one that only sends the same answers, those of all users in turn."""
    answers = bench.work / f"answers-{number}"
    answers.mkdir()
    for place, one in enumerate(requests):
        (answers / str(place)).write_bytes(raw_answer(server.address, one))
    file = bench.load.file(requests)
    with Server([bench.binary("bare"), *answers.iterdir()], log=bench.work / f"bare-{number}.log") as bare:
        cpu = {server: [], bare: []}
        sizes = set()

        def rate(of):
            told = bench.load.one(of, file, status=status)
            cpu[of].append(told["server_cpu_us"])
            sizes.add(round(told["body_bytes"] / told["count"], -1))
            return told["rate"]

        found = bench.alternate(lambda: rate(server), lambda: rate(bare))
    used = [sorted(cpu[of])[len(cpu[of]) // 2] for of in (server, bare)]
    bench.target(
        number, what, "bare actix-web, same bytes", "at least 0.95", found["ratio"],
        f"{found['a']:,.0f} against {found['b']:,.0f} requests/s; CPU of the server {used[0]:.1f} against {used[1]:.1f} µs a request",
        **found, cpu_us=used, body_bytes=sorted(sizes),
    )


INSERT = """\\set user random(0, 999)
INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title, description)
VALUES (lpad((:user)::text, 32, '0')::uuid, gen_random_uuid(), now(), now(), 1, false,
    'A task that a load test made', 'What there is to say about it, in one line of sixty letters.');
"""


def pgbench(bench, store, clients):
    """Transactions per second of prepared one-row inserts."""
    script = bench.work / "insert.sql"
    script.write_text(INSERT)
    command = [bench.postgres.program("pgbench"), "-n", "-M", "prepared", "-f", script, "-c", clients, "-j", 2,
               "-T", max(1, round(bench.seconds)), store.url]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=bench.work)
    if done.returncode:
        raise Failed(f"pgbench: {done.stderr}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps = ") and "including" not in line)
    return float(line.split()[2])


def writes(bench):
    users = Users(bench, 1000)
    ours, theirs = bench.store("postgres"), bench.store("postgres")
    ours.seed(1000, 1)
    theirs.seed(1000, 1)
    requests = bench.load.file(posts(users))
    best, batches, latencies, cpu = [], [], [], []

    def rate():
        # Each round starts from the same tables.
        ours.sql("DELETE FROM tasks WHERE version > 1")
        ours.sql("VACUUM FULL tasks")
        with Tasklane(bench, ours) as server:
            bench.load.one(server, lists(users), once=True)
            before = server.metrics()
            told = bench.load.one(server, requests, status=201, connections=128)
            after = server.metrics()
        count = after["tasklane_commit_users_count"] - before.get("tasklane_commit_users_count", 0)
        batches.append((after["tasklane_commit_users_sum"] - before.get("tasklane_commit_users_sum", 0)) / count)
        latencies.append((told["p50_us"], told["p99_us"]))
        cpu.append(told["server_cpu_us"])
        return told["rate"]

    def limit():
        found = {}
        for clients in (16, 64):
            theirs.sql("DELETE FROM tasks WHERE version > 1 OR title LIKE 'A task%'")
            theirs.sql("VACUUM FULL tasks")
            found[clients] = pgbench(bench, theirs, clients)
        best.append(found)
        return max(found.values())

    found = bench.alternate(rate, limit)
    bench.target(
        4, "POST on PostgreSQL, 128 connections, 1,000 users, durable", "pgbench -M prepared, one-row INSERT, best of 16 and 64 clients",
        "at least 2", found["ratio"],
        f"{found['a']:,.0f} against {found['b']:,.0f} a second; {sum(batches) / len(batches):.0f} users a commit",
        **found, batches=batches, latencies_us=latencies, server_cpu_us=cpu, pgbench=best,
    )
    ours.drop()
    theirs.drop()
