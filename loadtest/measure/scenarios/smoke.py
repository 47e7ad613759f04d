"""`loadtest/smoke`: 128 clients create, change and delete tasks on both stores, every answer checked."""

import os
import subprocess

from ..processes import ROOT, Failed


def run(bench):
    script(bench, "smoke", DURATION="5s" if bench.quick else "15s")


def script(bench, name, **env):
    """Runs one of loadtest's scripts, and keeps its table."""
    env = {**os.environ, "TASKLANE_BIN": str(bench.binary("tasklane")), **env}
    done = subprocess.run([str(ROOT / "loadtest" / name)], env=env, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"loadtest/{name} failed:\n{done.stdout}{done.stderr}")
    bench.say("  " + done.stdout.strip().replace("\n", "\n  "))
    bench.figures.append({"scenario": bench.scenario, "text": done.stdout.strip()})
