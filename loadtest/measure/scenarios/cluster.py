"""MODE=cluster on one PostgreSQL: the cost of strict and bounded reads, and one to three replicas under the same load."""

from concurrent.futures import ThreadPoolExecutor

from ..load import Users, lists, posts
from ..processes import Failed, Tasklane

MOST = 3


def run(bench):
    users = Users(bench, 300 if bench.quick else 1000)
    reads(bench, users)
    replicas(bench, users)


def reads(bench, users):
    """No target: the cost of a read that shows what any other process has acknowledged."""
    store = bench.store("postgres")
    store.seed(len(users.numbers), 20)
    for what, requests in (
        ("GET list of 20 tasks", lists(users)),
        ("GET one task", users.each("GET", "/api/{user}/tasks/{task 7}")),
    ):
        file = bench.load.file(requests)
        for kind, settings in (("strict", {}), ("bounded, READ_MAX_STALENESS=1s", {"READ_MAX_STALENESS": "1s"})):
            # A process in sole mode warns that it is not alone, and serves as if it were.
            with Tasklane(bench, store) as sole, Tasklane(bench, store, MODE="cluster", **settings) as other:
                sides, told = {"sole": sole, "cluster": other}, {}
                for side in sides.values():
                    bench.load.one(side, lists(users), once=True, connections=16)

                def rate(side):
                    told[side] = bench.load.one(sides[side], file)
                    return told[side]["rate"]

                found = bench.alternate(lambda: rate("cluster"), lambda: rate("sole"))
                p99 = ", ".join(f"{side} {told[side]['p99_us'] / 1000:.1f}" for side in told)
                cpu = ", ".join(f"{side} {told[side]['server_cpu_us']:.0f}" for side in told)
                bench.figure(
                    f"{what}, {kind}, 64 connections: {found['a']:,.0f} a second against {found['b']:,.0f} of sole mode; p99 {p99} ms; "
                    f"CPU of the service a request {cpu} us", found["ratio"], "times", **found)
    store.drop()


def replicas(bench, users):
    """The same load on one, two and three replicas; they share two cores with PostgreSQL and the load generator."""
    store = bench.store("postgres")
    store.seed(len(users.numbers), 20)
    kinds = {
        "list": (40, 200, lists(users)),
        "get": (40, 200, users.each("GET", "/api/{user}/tasks/{task 7}")),
        "toggle": (10, 200, users.each("PATCH", "/api/{user}/tasks/{task 7}/complete")),
        "post": (10, 201, posts(users)),
    }
    for count in range(1, MOST + 1):
        servers = [Tasklane(bench, store, MODE="cluster") for _ in range(count)]
        try:
            told = side_by_side(bench, servers, kinds)
        finally:
            for server in servers:
                server.stop()
        name = f"{count} replica{'s' if count > 1 else ''}"
        bench.figure(f"{name}, 80 % reads, 63 connections in all: requests", told["rate"], "a second")
        bench.figure(f"{name}: p99 of reads {told['reads']:.1f} ms, of writes {told['writes']:.1f} ms; CPU of a request: replicas", told["cpu"], "us")
    store.drop()


def side_by_side(bench, servers, kinds):
    """Each server gets its share of users and connections, as from a balancer that hashes on the user."""

    def one(place):
        share = {name: (weight, status, bench.load.file(requests[place::len(servers)])) for name, (weight, status, requests) in kinds.items()}
        bench.load.one(servers[place], kinds["list"][2][place::len(servers)], once=True, connections=16)
        return bench.load.run(servers[place], share, connections=63 // len(servers), seconds=bench.seconds)

    with ThreadPoolExecutor(len(servers)) as pool:
        told = list(pool.map(one, range(len(servers))))
    if errors := sum(each["errors"] for each in told):
        raise Failed(f"{errors} wrong answers: {[each.get('faults') for each in told]}")
    count = sum(each["count"] for each in told)
    worst = lambda *names: max(each["kinds"][name]["p99_us"] for each in told for name in names) / 1000
    return {
        "rate": sum(each["rate"] for each in told), "reads": worst("list", "get"), "writes": worst("toggle", "post"),
        "cpu": sum(each["server_cpu_us"] * each["count"] for each in told) / count,
    }
