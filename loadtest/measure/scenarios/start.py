"""The time from process start to the first /health, with a million tasks in the store and with none."""

import socket
import time
from statistics import median

from ..processes import Failed, Tasklane


def run(bench):
    users = 5000 if bench.quick else 50_000
    for kind in ("sqlite", "postgres"):
        full, empty = bench.store(kind), bench.store(kind)
        full.seed(users, 20)
        found = bench.alternate(lambda: seconds(bench, full), lambda: seconds(bench, empty))
        memory = []
        for store in (full, empty):
            with Tasklane(bench, store) as server:
                memory.append(server.rss() / (1 << 20))
        bench.target(10, f"start to first /health 200 with {users * 20:,} tasks in {kind}", "an empty store", "at most 1.5", found["ratio"],
                     f"{found['a'] * 1000:.0f} against {found['b'] * 1000:.0f} ms; resident {memory[0]:.0f} against {memory[1]:.0f} MiB",
                     **found)
        full.drop()
        empty.drop()


def seconds(bench, store):
    """The median of three starts."""
    return median(once(bench, store) for _ in range(3))


def once(bench, store):
    with Tasklane(bench, store, PORT=bench.free_port()) as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as stream:
            stream.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = stream.recv(4096)
        took = time.monotonic() - server.spawned
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Failed(f"/health: {answer[:200]}")
    return took
