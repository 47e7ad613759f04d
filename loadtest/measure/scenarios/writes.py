"""Writes under growing load: latency, throughput, and users per commit."""

from ..load import Users, lists, posts
from ..processes import Tasklane


def run(bench):
    users = Users(bench, 1000)
    requests = bench.load.file(posts(users))
    for kind in ("postgres", "sqlite"):
        store = bench.store(kind)
        store.seed(1000, 20)
        # Room for all tasks, as in peers.py.
        with Tasklane(bench, store, CACHE_MAX_BYTES=8 << 30) as server:
            bench.load.one(server, lists(users), once=True, connections=16)
            for connections in (1, 4, 16, 64, 128, 256, 512, 1000):
                before = server.metrics()
                told = bench.load.one(server, requests, status=201, connections=connections, seconds=min(3, bench.seconds))
                after = server.metrics()
                grown = lambda name: after[name] - before.get(name, 0)
                batch = grown("tasklane_commit_users_sum") / grown("tasklane_commit_users_count")
                bench.line("Batch size against load", kind, connections, batch)
                bench.line("Throughput of writes against concurrency", kind, connections, told["rate"])
                for name in ("p50", "p99"):
                    bench.line("Latency of writes against concurrency", f"{kind}, {name}", connections, told[f"{name}_us"] / 1000)
        store.drop()
