"""One write, delivered to a thousand event streams of its user."""

import json
import subprocess

from ..load import Users, posts
from ..processes import Failed, Tasklane


def run(bench):
    streams = 200 if bench.quick else 1000
    writes = 10 if bench.quick else 100
    user = Users(bench, 1)
    store = bench.store("postgres")
    store.seed(1, 20)
    for name, requests in (("open", user.each("GET", "/api/{user}/events")), ("write", posts(user))):
        (bench.work / name).write_bytes(requests[0])
    found = []
    for _ in range(bench.rounds):
        # One user may have a tenth of all streams.
        with Tasklane(bench, store, MAX_EVENT_STREAMS=10 * streams) as server:
            bench.load.one(server, user.each("GET", "/api/{user}/tasks"), connections=8, seconds=1, warm_up=0.5)
            before = server.rss()
            command = [bench.binary("listen"), server.address, bench.work / "open", bench.work / "write",
                       "--streams", streams, "--writes", writes, "--halt"]
            process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                memory = []
                for word in ("open", "heard"):
                    if process.stdout.readline().strip() != word:
                        raise Failed("the streams did not open, or did not end")
                    memory.append(server.rss() - before)
                    process.stdin.write("\n")
                    process.stdin.flush()
                told = json.loads(process.communicate(timeout=60)[0])
            finally:
                process.kill()
                process.wait()
        told["bytes_per_stream"] = [round(grown / streams) for grown in memory]
        found.append(told)
        bench.say(f"  {told['delivered']} of {told['expected']}; p99 {told['since_sent']['p99_us'] / 1000:.1f} ms; {told['bytes_per_stream']} bytes a stream")
    middle = sorted(found, key=lambda told: told["since_sent"]["p99_us"])[len(found) // 2]
    share = min(told["delivered"] / told["expected"] for told in found)
    sent, answered = middle["since_sent"], middle["since_answered"]
    bench.target(13, f"one write to {streams:,} event streams of one user, {writes} times", "all delivered", "at least 1", share,
                 f"from the request's sending p50 {sent['p50_us'] / 1000:.1f}, p99 {sent['p99_us'] / 1000:.1f} ms; from its answer p50 "
                 f"{answered['p50_us'] / 1000:.1f}, p99 {answered['p99_us'] / 1000:.1f} ms; {middle['bytes_per_stream'][0]:,} bytes a stream",
                 rounds=found)
    store.drop()
