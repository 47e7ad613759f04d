"""Warm reads: latency against concurrency, throughput against users."""

from ..load import Users, lists
from ..processes import Tasklane


def run(bench):
    most = 5000 if bench.quick else 100_000
    store = bench.store("sqlite")
    store.seed(most, 20)
    with Tasklane(bench, store, CACHE_MAX_BYTES=8 << 30) as server:
        everybody = Users(bench, most)
        requests = lists(everybody)
        bench.load.one(server, requests, once=True, connections=16)
        some = bench.load.file(requests[:200])
        for connections in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000):
            told = bench.load.one(server, some, connections=connections, seconds=min(3, bench.seconds))
            for name in ("p50", "p99"):
                bench.line("Latency against concurrency", f"GET list, {name}", connections, told[f"{name}_us"] / 1000)
            bench.line("Throughput against concurrency", "GET list", connections, told["rate"])
        for users in (1, 10, 100, 1000, 10_000, 100_000):
            if users <= most:
                told = bench.load.one(server, requests[:users], seconds=min(3, bench.seconds))
                bench.line("Throughput against users", "GET list", users, told["rate"])
    store.drop()
