"""Instructions per request outside the kernel, counted by callgrind: exact where times vary."""

import os
import re
import subprocess
import time

from ..load import Users, lists, posts, raw_answer, unmodified
from ..processes import Failed, Server, Tasklane, output

WARM, COUNTED = 300, 1000


class Counted:
    """Runs a server's command under callgrind, which counts while it is switched on."""

    def __init__(self, bench, name, env=None):
        # Valgrind's control program needs the same two variables as the process; HOST is also a setting of ours.
        self.env = {**os.environ, **(env or {})}
        for missing in set() if env is None else {"USER", "LOGNAME", "HOSTNAME"}:
            self.env.pop(missing, None)
        self.out = bench.work / f"callgrind-{name}-{bench.number()}"
        self.prefix = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-systime=no",
                       f"--callgrind-out-file={self.out}"]

    def requests(self, bench, server, requests, status):
        """Instructions per request."""
        send = lambda count: bench.load.one(
            server, [requests[turn % len(requests)] for turn in range(count)], status=status, once=True, connections=8)
        switch = lambda state: output("callgrind_control", "-i", state, server.process.pid, env=self.env, timeout=60)
        send(WARM)
        switch("on")
        send(COUNTED)
        switch("off")

    def annotated(self, most=25):
        """The total and the most expensive functions, in instructions per request."""
        text = output("callgrind_annotate", "--threshold=100", "--show-percs=no", self.out)
        total, functions = 0, {}
        for line in text.splitlines():
            found = re.match(r"\s*([\d,]+)\s+(.*)", line)
            if not found:
                continue
            count, name = int(found.group(1).replace(",", "")) / COUNTED, found.group(2)
            if "PROGRAM TOTALS" in name:
                total = count
            elif place := re.match(r"[^:]*:(.*?)( \[.*\])?$", name):
                # Inlined code is listed under its source file.
                functions[place.group(1)] = functions.get(place.group(1), 0) + count
        return total, sorted(functions.items(), key=lambda each: -each[1])[:most]


def run(bench):
    if subprocess.run(["which", "valgrind"], capture_output=True).returncode:
        raise Failed("valgrind is missing (Debian: valgrind)")
    users = Users(bench, 200)
    store = bench.store("sqlite")
    store.seed(200, 20)
    calls = {
        "GET list": (lists(users), 200), "GET list, 304": (None, 304),
        "GET one": (users.each("GET", "/api/{user}/tasks/{task 7}"), 200), "POST": (posts(users), 201),
    }
    for call, (requests, status) in calls.items():
        found = {}
        counted = Counted(bench, "tasklane", {"HOST": "127.0.0.1"})
        with Tasklane(bench, store, prefix=counted.prefix) as server:
            bench.load.one(server, lists(users), once=True)
            requests = requests or unmodified(users, server.address)
            answer = bench.work / "answer"
            answer.write_bytes(raw_answer(server.address, requests[0]))
            counted.requests(bench, server, requests, status)
        found["tasklane"] = counted.annotated()
        if status != 201:
            counted = Counted(bench, "bare")
            command = [*counted.prefix, bench.binary("bare"), answer]
            with Server(command, log=bench.work / "bare-counted.log") as bare:
                counted.requests(bench, bare, requests, status)
            found["bare"] = counted.annotated()
        for name, (total, functions) in found.items():
            table = "\n".join(f"{count:9,.0f}  {function}" for function, count in functions)
            bench.figure(f"{call}: instructions of {name}", total, "a request")
            bench.figures.append({"scenario": bench.scenario, "text": f"{call}, {name}: {total:,.0f} instructions a request\n{table}"})
    store.drop()
