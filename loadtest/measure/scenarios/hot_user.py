"""One user with many writers: 128 connections toggle the same task."""

from ..load import Users, lists
from ..processes import Server, Tasklane


def run(bench):
    user = Users(bench, 1)
    ours, theirs = bench.store("postgres"), bench.store("postgres")
    ours.seed(1, 20)
    theirs.seed(1, 20)
    toggles = bench.load.file(user.each("PATCH", "/api/{user}/tasks/{task 7}/complete"))
    log = bench.work / "plain-hot.log"
    times = []
    with Tasklane(bench, ours) as server, Server([bench.binary("plain"), theirs.url], log=log) as peer:
        bench.load.one(server, lists(user), once=True)

        def rate(of):
            told = bench.load.one(of, toggles, connections=128)
            times.append((told["p50_us"], told["p99_us"]))
            return told["rate"]

        found = bench.alternate(lambda: rate(server), lambda: rate(peer))
    bench.target(
        7, "128 connections toggling one task of one user", "one autocommit UPDATE a request, 10 pooled connections", "at least 5",
        found["ratio"], f"{found['a']:,.0f} against {found['b']:,.0f} a second", **found, latencies_us=times,
    )
    ours.drop()
    theirs.drop()
