"""1,000 connections, four reads for each write, for a minute."""

from ..load import Users, four_reads_a_write, lists
from ..processes import Tasklane


def run(bench):
    users = Users(bench, 1000)
    store = bench.store("postgres")
    store.seed(1000, 20)
    load = bench.load
    kinds = four_reads_a_write(load, users)
    with Tasklane(bench, store) as server:
        load.one(server, lists(users), once=True, connections=16)
        told = load.run(server, kinds, connections=1000, seconds=5 if bench.quick else 60)
        rss = server.rss() / (1 << 20)
    worst = max(told["kinds"][name]["p99_us"] / told["kinds"][name]["p50_us"] for name in ("list", "get"))
    detail = "; ".join(
        f"{name} p50 {kind['p50_us'] / 1000:.1f}, p99 {kind['p99_us'] / 1000:.1f} ms" for name, kind in told["kinds"].items())
    bench.target(11, f"1,000 connections, 80 % reads, 20 % writes, {told['seconds']:.0f} s", "0 errors; p99 of reads against p50", "at most 5",
                 worst, f"{told['errors']} errors in {told['count']:,} requests, {told['rate']:,.0f} a second, {rss:.0f} MiB; {detail}",
                 reached=told["errors"] == 0 and worst < 5, told=told)
    store.drop()
