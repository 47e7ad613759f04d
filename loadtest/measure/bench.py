"""One run: its tools, its number of rounds, and its results so far."""

import datetime
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from statistics import median

from .load import Load
from .processes import ROOT, Failed, Postgres, Sqlite, output


class Bench:
    """The tools of a run, and its results."""

    def __init__(self, options):
        self.quick = options.quick
        self.rounds = options.rounds or (2 if options.quick else 5)
        self.seconds = options.seconds or (1 if options.quick else 5)
        self.warm_up = 0.5 if options.quick else 1
        self.secret = secrets.token_hex(32)
        self.work = Path(tempfile.mkdtemp(prefix="tasklane-load-"))
        # If this runs as root, PostgreSQL runs as another user, who must be able to enter this folder.
        self.work.chmod(0o711)
        self.count = 0
        self.load = Load(self)
        self._postgres = None
        self.binaries = {}
        self.scenario = None
        self.targets, self.figures, self.series = [], [], []

    def number(self):
        """A new number each time."""
        self.count += 1
        return self.count

    @staticmethod
    def free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @staticmethod
    def say(text):
        print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)

    # --- the measured programs and their stores

    def build(self):
        """Builds the service and the tools with the profile that is shipped."""
        if given := os.environ.get("TASKLANE_BIN"):
            self.binaries["tasklane"] = Path(given)
        self.say("building the profile dist")
        packages = ["-p", "tasklane-load"] + ([] if given else ["-p", "tasklane", "--bin", "tasklane"]) + ["--bins"]
        command = ["cargo", "build", "--profile", "dist", "--locked", "--message-format=json-render-diagnostics", *packages]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed("the build failed")
        for line in done.stdout.splitlines():
            if path := json.loads(line).get("executable"):
                self.binaries.setdefault(Path(path).name, Path(path))

    def binary(self, name):
        return self.binaries[name]

    @property
    def postgres(self):
        if self._postgres is None:
            self._postgres = Postgres(self)
        return self._postgres

    def store(self, kind):
        """A new store, without users: `sqlite` or `postgres`."""
        return Sqlite(self) if kind == "sqlite" else self.postgres.database()

    def close(self):
        if self._postgres is not None:
            self._postgres.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    # --- rounds and results

    def alternate(self, a, b):
        """Measures A and B in turns, A B A B. Returns the medians of both and of the rounds' ratios."""
        rounds = []
        for _ in range(self.rounds):
            rounds.append((a(), b()))
            self.say(f"  {rounds[-1][0]:,.1f} against {rounds[-1][1]:,.1f}: {rounds[-1][0] / rounds[-1][1]:.3f}")
        ratios = [one / other for one, other in rounds]
        return {
            "a": median(one for one, _ in rounds), "b": median(other for _, other in rounds), "ratio": median(ratios),
            "ratios": [round(ratio, 4) for ratio in ratios], "rounds": rounds,
        }

    def target(self, number, what, against, goal, measured, detail, reached=None, **more):
        """Records a target: `goal` is "at least 0.95" or "at most 1.5"; `measured` is compared with it."""
        kind, bound = goal.rsplit(" ", 1)
        if reached is None:
            reached = measured >= float(bound) if kind == "at least" else measured <= float(bound)
        self.say(f"  target {number}: {what}: {measured:.3f} ({goal}): {'reached' if reached else 'MISSED'}; {detail}")
        self.targets.append({
            "scenario": self.scenario, "number": number, "what": what, "against": against, "goal": goal,
            "measured": measured, "reached": bool(reached), "detail": detail, **more,
        })

    def figure(self, what, value, unit, **more):
        """Records a number without a target."""
        self.say(f"  {what}: {value:,.2f} {unit}")
        self.figures.append({"scenario": self.scenario, "what": what, "value": value, "unit": unit, **more})

    def line(self, plot, label, x, y):
        """Adds a point to a line of a plot."""
        self.say(f"  {plot}: {label}: {x:,} -> {y:,.3f}")
        for line in self.series:
            if (line["plot"], line["label"]) == (plot, label):
                line["points"].append((x, y))
                return
        self.series.append({"scenario": self.scenario, "plot": plot, "label": label, "points": [(x, y)]})

    def run(self, name, scenario):
        """Runs one scenario; a failure is reported and does not stop the others."""
        self.scenario = name
        self.say(f"{name}: {' '.join(scenario.__doc__.split())}")
        started = time.monotonic()
        run = {"scenario": name, "load_before": os.getloadavg()[0], "fdatasync_ms": self.fdatasync(), "failed": None}
        try:
            scenario.run(self)
        except Exception as failure:  # any failure: the other scenarios are still worth measuring
            run["failed"] = f"{type(failure).__name__}: {failure}"
            self.say(f"{name}: FAILED: {failure if isinstance(failure, Failed) else traceback.format_exc()}")
        return {**run, "seconds": round(time.monotonic() - started)}

    def fdatasync(self):
        """How long an fdatasync of 8 KiB takes: median and 90th percentile of a hundred, in ms."""
        file = os.open(self.work / "fdatasync", os.O_CREAT | os.O_WRONLY)
        times = []
        for place in range(100):
            os.pwrite(file, bytes(8192), 8192 * place)
            before = time.monotonic()
            os.fdatasync(file)
            times.append((time.monotonic() - before) * 1000)
        os.close(file)
        return [round(sorted(times)[place], 2) for place in (50, 90)]


def machine(bench):
    """The machine that the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // (1 << 20)
    return {
        "processor": model, "cores": os.cpu_count(), "memory_gib": memory, "kernel": os.uname().release,
        "rustc": output("rustc", "--version"),
        "postgres": bench._postgres.version() if bench._postgres else None,
    }
