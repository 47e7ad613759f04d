"""Mixed load for half an hour: no error, and memory that stops growing."""

from ..load import Users, lists
from ..processes import Failed, Tasklane


def run(bench):
    seconds, parts = (10, 5) if bench.quick else (1800, 30)
    users = Users(bench, 1000)
    store = bench.store("postgres")
    store.seed(1000, 20)
    load = bench.load
    # No creates: at the end there are as many tasks as at the start.
    kinds = {
        "list": (40, 200, load.file(lists(users))),
        "get": (40, 200, load.file(users.each("GET", "/api/{user}/tasks/{task 7}"))),
        "toggle": (10, 200, load.file(users.each("PATCH", "/api/{user}/tasks/{task 7}/complete"))),
        "update": (10, 200, load.file(users.each("PATCH", "/api/{user}/tasks/{task 8}", {"description": "Changed by a load test"}))),
    }
    errors = count = 0
    with Tasklane(bench, store) as server:
        load.one(server, lists(users), once=True, connections=16)
        for part in range(1, parts + 1):
            told = load.run(server, kinds, connections=128, seconds=seconds / parts, warm_up=0)
            errors, count = errors + told["errors"], count + told["count"]
            now = round(part * seconds / parts)
            bench.line("Memory in a soak", "resident", now, server.rss() / (1 << 20))
            bench.line("Latency in a soak", "GET list, p99", now, told["kinds"]["list"]["p99_us"] / 1000)
            bench.line("Latency in a soak", "PATCH, p99", now, told["kinds"]["update"]["p99_us"] / 1000)
    points = next(line["points"] for line in bench.series if line["plot"] == "Memory in a soak")
    if errors:
        raise Failed(f"{errors} errors in {count} requests")
    growth = points[-1][1] / points[len(points) // 4][1]
    bench.figure(f"resident memory after {seconds} s ({count:,} requests, no error) against a quarter of the time", growth, "times")
    store.drop()
