"""Two builds of the service side by side."""

import random
from contextlib import contextmanager
from statistics import median

from .load import Users, four_reads_a_write, lists, posts, unmodified
from .processes import Failed, Tasklane

# Beyond the users that are measured warm, those whose first read is measured.
COLD = 100_000


class Pair:
    """Both servers, each with its own store of the same content."""

    def __init__(self, bench, servers):
        self.bench, self.servers, self.rows = bench, servers, []

    def rounds(self, what, measure):
        """Adds rows to the table: `measure(server, round)` returns its figures by name."""
        ratios = {}
        for place in range(self.bench.rounds):
            order = list(enumerate(self.servers))
            found = {}
            for side, server in order if place % 2 == 0 else reversed(order):
                found[side] = measure(server, place)
            for name in found[0]:
                ratios.setdefault(name, []).append((found[0][name], found[1][name]))
        for name, pairs in ratios.items():
            each = [new / old for old, new in pairs]
            low, high = interval(each)
            old, new = (median(side) for side in zip(*pairs))
            self.rows.append(f"| {what} | {name} | {old:,.1f} | {new:,.1f} | {median(each):.3f} | {low:.3f} to {high:.3f} |")
            self.bench.say(self.rows[-1])

    def requests(self, what, requests, status=200, connections=64):
        """Adds the throughput and the processor time of these requests; `requests` may depend on the server."""
        files = [self.bench.load.file(requests(server) if callable(requests) else requests) for server in self.servers]

        def measure(server, _):
            told = self.bench.load.one(server, files[self.servers.index(server)], status=status, connections=connections)
            return {"requests/s": told["rate"], "processor µs": told["server_cpu_us"]}

        self.rounds(what, measure)


def interval(values, of=median, draws=4000):
    """The 95 % confidence interval of a median, by bootstrap (Efron 1979); the same draws in every run."""
    lot = random.Random(1)
    found = sorted(of(lot.choices(values, k=len(values))) for _ in range(draws))
    return found[draws * 25 // 1000], found[draws * 975 // 1000]


@contextmanager
def pair(bench, binaries, kind, *seeds, **settings):
    """Both servers on stores of this kind, seeded with (users, tasks, first user)."""
    servers, stores = [], []
    try:
        for binary in binaries:
            bench.binaries["tasklane"] = binary
            stores.append(bench.store(kind))
            for seed in seeds:
                stores[-1].seed(*seed)
            servers.append(Tasklane(bench, stores[-1], CACHE_MAX_BYTES=4 << 30, **settings))
        yield Pair(bench, servers)
    finally:
        for server in servers:
            server.stop()
        for store in stores:
            store.drop()


def reads(bench, binaries):
    """Warm reads: a list, the same with its tag, one task, a list of a thousand tasks, a page of 20,000."""
    users, some, large = Users(bench, 200), Users(bench, 1, 1000), Users(bench, 1, 1001)
    with pair(bench, binaries, "sqlite", (200, 20), (1, 1000, 1000), (1, 20_000, 1001)) as both:
        both.requests("list of 20", lists(users))
        both.requests("the same, 304", lambda server: unmodified(users, server.address), 304)
        both.requests("one task", users.each("GET", "/api/{user}/tasks/{task 7}"))
        both.requests("list of 1,000", lists(some), connections=8)
        both.requests("page of 20,000", large.each("GET", "/api/{user}/tasks?limit=50"), connections=8)
        return both.rows


def cold(bench, binaries):
    """First reads of users who are not in memory, from PostgreSQL."""
    each = 300
    with pair(bench, binaries, "postgres", (each * bench.rounds, 20, COLD)) as both:
        def measure(server, place):
            told = bench.load.one(server, lists(Users(bench, each, COLD + each * place)), once=True, connections=8)
            return {"p50 µs": told["p50_us"], "processor µs": told["server_cpu_us"]}

        both.rounds("first list of 20, PostgreSQL", measure)
        return both.rows


def writes(bench, binaries):
    """Creates on both stores, and one task that all toggle."""
    users, one = Users(bench, 1000), Users(bench, 1)
    rows = []
    for kind in ("postgres", "sqlite"):
        with pair(bench, binaries, kind, (1000, 20)) as both:
            for server in both.servers:
                bench.load.one(server, lists(users), once=True, connections=16)
            both.requests(f"create, 128 connections, {kind}", posts(users), 201, 128)
            both.requests(f"create, 1 connection, {kind}", posts(users), 201, 1)
            both.requests(f"toggle one task, 128, {kind}", one.each("PATCH", "/api/{user}/tasks/{task 7}/complete"), 200, 128)
            rows += both.rows
    return rows


def mixed(bench, binaries):
    """512 connections, four reads for each write."""
    users = Users(bench, 1000)
    load = bench.load
    kinds = four_reads_a_write(load, users)
    with pair(bench, binaries, "postgres", (1000, 20)) as both:
        def measure(server, _):
            told = load.run(server, kinds, connections=512)
            if told["errors"]:
                raise Failed(f"{told['errors']} wrong answers: {told['faults']}")
            return {"requests/s": told["rate"], "processor µs": told["server_cpu_us"], "p99 of lists, µs": told["kinds"]["list"]["p99_us"]}

        for server in both.servers:
            load.one(server, lists(users), once=True, connections=16)
        both.rounds("mixed, 512 connections", measure)
        return both.rows


def memory(bench, binaries):
    """Memory of a warm user with 20 tasks."""
    each = 2000
    with pair(bench, binaries, "sqlite", (each * (bench.rounds + 1), 20, COLD)) as both:
        visit = lambda server, place: bench.load.one(server, lists(Users(bench, each, COLD + each * place)), once=True, connections=16)
        before = {}
        for server in both.servers:
            visit(server, bench.rounds)
            before[server] = server.rss()

        def measure(server, place):
            visit(server, place)
            return {"resident bytes a user": (server.rss() - before[server]) / (each * (place + 1))}

        both.rounds("warm user with 20 tasks", measure)
        return both.rows


SCENARIOS = {scenario.__name__: scenario for scenario in (reads, cold, writes, mixed, memory)}


def compare(bench, old, new, scenarios):
    """The table of these scenarios, as Markdown."""
    rows = ["| what | figure | old | new | new / old | 95 % |", "|---|---|---|---|---|---|"]
    for name in scenarios:
        bench.say(f"{name}: {' '.join(SCENARIOS[name].__doc__.split())}")
        rows += SCENARIOS[name](bench, (old, new))
    return "\n".join(rows)
