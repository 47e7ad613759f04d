"""One user with 100,000 tasks, beside one with 50: no call's cost may grow with the user."""

from statistics import median

from ..load import Users, posts
from ..processes import Tasklane

CALLS = {
    "POST": (lambda users: posts(users), 201),
    "GET one": (lambda users: users.each("GET", "/api/{user}/tasks/{task 7}"), 200),
    "GET ?limit=50": (lambda users: users.each("GET", "/api/{user}/tasks?limit=50"), 200),
}


def run(bench):
    store = bench.store("postgres")
    sizes = [10, 100, 1000, 10_000] if bench.quick else [10, 100, 1000, 10_000, 100_000]
    most = sizes[-1]
    users = {}
    for number, size in enumerate([50, *sizes]):
        store.seed(1, size, number)
        users[size] = Users(bench, 1, number)
    with Tasklane(bench, store, CACHE_MAX_BYTES=4 << 30) as server:
        for size in users:
            bench.load.one(server, users[size].each("GET", "/api/{user}/tasks/{task 7}"), once=True)
        worst = []
        for call, (make, status) in CALLS.items():
            files = {size: bench.load.file(make(users[size])) for size in users}
            p50 = lambda size: bench.load.one(server, files[size], status=status, connections=8)["p50_us"]
            found = bench.alternate(lambda: p50(most), lambda: p50(50))
            worst.append((found["ratio"], call, found))
            for size in sizes:
                value = median(p50(size) for _ in range(1 if bench.quick else 3))
                bench.line("Latency against tasks per user", call, size, value / 1000)
    worst.sort(key=lambda each: -each[0])
    told = "; ".join(f"{call} {ratio:.2f} ({found['a']:.0f} against {found['b']:.0f} µs)" for ratio, call, found in worst)
    bench.target(8, f"a user with {most:,} tasks: POST, GET one, GET ?limit=50, p50 at 8 connections", "a user with 50 tasks",
                 "at most 1.5", worst[0][0], told, calls={call: found for _, call, found in worst})
    store.drop()
