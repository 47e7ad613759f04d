"""Memory per user, and whether the byte budget holds with more users than fit."""

import json
import time

from ..load import Users, lists, raw_answer
from ..processes import Failed, Tasklane


def run(bench):
    weight(bench)
    budget(bench)


def weight(bench):
    """The memory of a warm user, from the growth of the process with each user."""
    steps = [1000, 5000] if bench.quick else [1000, 10_000, 20_000, 50_000]
    store = bench.store("sqlite")
    store.seed(steps[-1], 20)
    with Tasklane(bench, store, CACHE_MAX_BYTES=8 << 30) as server:
        # Memory of the first requests does not belong to a user.
        first = bench.load.one(server, lists(Users(bench, steps[0])), once=True, connections=16)
        settled = server.rss()
        done, grown = steps[0], [(steps[0], settled)]
        for step in steps[1:]:
            told = bench.load.one(server, lists(Users(bench, step - done, done)), once=True, connections=16)
            done = step
            grown.append((step, server.rss()))
        time.sleep(1.5)  # the server counts once a second
        counted = server.metrics()["tasklane_cache_bytes"] / done
    for users, rss in grown:
        bench.line("Memory against users", "resident", users, rss / (1 << 20))
        bench.line("Memory against users", "JSON of the lists", users, users * first["body_bytes"] / first["count"] / (1 << 20))
    each = (grown[-1][1] - settled) / (done - steps[0])
    body = told["body_bytes"] / told["count"]
    # The list's frame does not count as a task's.
    tasks = body - len('{"tasks":[],"count":20,"total":20,"next_cursor":null}') - 19
    bench.target(9, "memory of a warm user with 20 tasks, whose list was read", "the bytes of their JSON", "at most 1",
                 each / (2 * tasks + 1024),
                 f"{each:,.0f} bytes a user, {tasks:,.0f} bytes of JSON: {each / tasks:.2f} times, allowed {2 * tasks + 1024:,.0f}; counted as {counted:,.0f}",
                 bytes_per_user=each, json_bytes=tasks, counted_bytes=counted)
    store.drop()


def budget(bench):
    """200,000 users visit a server that may keep 64 MiB."""
    users = 20_000 if bench.quick else 200_000
    budget = 64 << 20
    store = bench.store("sqlite")
    store.seed(users, 5)
    with Tasklane(bench, store, CACHE_MAX_BYTES=budget) as server:
        most, lanes = 0, 0
        for start in range(0, users, 10_000):
            some = Users(bench, 10_000, start)
            bench.load.one(server, lists(some), once=True)
            most = max(most, server.rss())
            time.sleep(0.3)
            lanes = max(lanes, server.metrics()["tasklane_lanes"])
        # The first users were evicted long ago.
        early = Users(bench, 200)
        right = 0
        for number, one in zip(early.numbers, lists(early)):
            body = json.loads(raw_answer(server.address, one).split(b"\r\n\r\n", 1)[1])
            right += [task["title"] for task in body["tasks"]] == [f"Task {t} of user {number}" for t in range(5, 0, -1)]
        if right != len(early.numbers):
            raise Failed(f"only {right} of {len(early.numbers)} users were served correctly again")
    bench.target("budget", f"resident memory, {users:,} users visited, CACHE_MAX_BYTES 64 MiB", "the budget + 100 MiB",
                 "at most 164", most / (1 << 20), f"{most / (1 << 20):.0f} MiB at most, {lanes:,.0f} lanes; 200 evicted users served correctly again")
    store.drop()
