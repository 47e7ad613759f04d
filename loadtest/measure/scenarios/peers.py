"""Compared with the alternatives: PocketBase, and a plain handler with one statement per request."""

from ..load import Users, lists, posts, request
from ..processes import PocketBase, Server, Tasklane


def run(bench):
    pocketbase(bench)
    plain(bench)


def pocketbase(bench):
    count = 50 if bench.quick else 200
    users = Users(bench, count)
    text = {"title": "A task that a load test made", "description": "What there is to say about it, in one line of sixty letters."}
    with PocketBase(bench, count) as peer:
        path = "/api/collections/tasks/records"
        creates = [request("POST", path, body={**text, "owner": owner}, headers=[f"Authorization: {token}"])
                   for owner, token in peer.users]
        for _ in range(20):
            bench.load.one(peer, creates, connections=8, once=True)
        page = f"{path}?perPage=100&sort=-created"
        reads = bench.load.file([request("GET", page, headers=[f"Authorization: {token}"]) for _, token in peer.users])
        store = bench.store("sqlite")
        store.seed(count, 20)
        with Tasklane(bench, store) as server:
            ours = bench.load.file(lists(users))
            found = bench.alternate(
                lambda: bench.load.one(server, ours)["rate"], lambda: bench.load.one(peer, reads)["rate"])
            bench.target(6, f"GET list of 20 tasks, {count} users, 64 connections", "PocketBase's list", "at least 45",
                         found["ratio"], f"{found['a']:,.0f} against {found['b']:,.0f} a second", **found)
        store.drop()
        store = bench.store("sqlite")
        store.seed(count, 1)
        # Room for all tasks: beyond the budget this would measure how fast users are reloaded.
        with Tasklane(bench, store, CACHE_MAX_BYTES=8 << 30) as server:
            ours, theirs = bench.load.file(posts(users)), bench.load.file(creates)
            found = bench.alternate(
                lambda: bench.load.one(server, ours, status=201, connections=128)["rate"],
                lambda: bench.load.one(peer, theirs, connections=128)["rate"])
            bench.target(5, f"POST on SQLite, synchronous=FULL, {count} users, 128 connections", "PocketBase's create (its own setting, NORMAL)",
                         "at least 25", found["ratio"], f"{found['a']:,.0f} against {found['b']:,.0f} a second", **found)
        store.drop()


def plain(bench):
    """No target: compares with an ordinary service on the same PostgreSQL."""
    users = Users(bench, 1000)
    store = bench.store("postgres")
    store.seed(1000, 20)
    log = bench.work / "plain.log"
    with Tasklane(bench, store, CACHE_MAX_BYTES=8 << 30) as server, Server([bench.binary("plain"), store.url], log=log) as peer:
        for what, requests, status, connections in (
            ("GET list of 20 tasks", lists(users), 200, 64),
            ("GET one task", users.each("GET", "/api/{user}/tasks/{task 7}"), 200, 64),
            ("POST", posts(users), 201, 128),
        ):
            file = bench.load.file(requests)
            rate = lambda of: bench.load.one(of, file, status=status, connections=connections)["rate"]
            found = bench.alternate(lambda: rate(server), lambda: rate(peer))
            bench.figure(f"{what}, against one statement a request ({found['a']:,.0f} against {found['b']:,.0f} a second)",
                         found["ratio"], "times", **found)
    store.drop()
