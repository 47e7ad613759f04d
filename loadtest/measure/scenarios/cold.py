"""Users whose lane is not in memory: what a read costs beyond the SELECT itself."""

import json

from ..load import Users, lists
from ..processes import Tasklane, output, subject


def run(bench):
    count = 2000 if bench.quick else 5000
    store = bench.store("postgres")
    store.seed(50_000 if not bench.quick else 5000, 20)
    everybody = Users(bench, count * 10 if not bench.quick else 5000)
    found = {}
    for connections in (1, 8):
        times = ([], [])
        turn = 0

        def some():
            # Different users each time, spread over the table, so that both meet the same state of the database's cache.
            nonlocal turn
            turn += 1
            return list(everybody.numbers)[turn % 7 :: 10]

        def ours():
            numbers = set(some())
            requests = [r for n, r in zip(everybody.numbers, all_lists) if n in numbers]
            with Tasklane(bench, store) as server:
                # Database connections, prepared statements and the process's pages are warm; the users are not.
                warm = Users(bench, 64, 0)
                bench.load.one(server, lists(warm), once=True, connections=16)
                told = bench.load.one(server, requests, once=True, connections=connections)
            times[0].append(told)
            return told["p50_us"]

        def theirs():
            file = bench.work / "ids"
            file.write_text("\n".join(subject(number) for number in some()))
            told = json.loads(output(bench.binary("select"), store.url, file, "--connections", connections))
            times[1].append(told)
            return told["p50_us"]

        all_lists = lists(everybody)
        found[connections] = bench.alternate(ours, theirs)
        found[connections]["times"] = times
    one, eight = found[1], found[8]
    bench.target(12, "cold GET list of 20 tasks, p50, one connection", "the same SELECT through tokio-postgres", "at most 1.5", one["ratio"],
                 f"{one['a']:.0f} against {one['b']:.0f} µs; at 8 connections {eight['ratio']:.2f} ({eight['a']:.0f} against {eight['b']:.0f} µs)",
                 **one, eight_connections=eight)
    store.drop()
