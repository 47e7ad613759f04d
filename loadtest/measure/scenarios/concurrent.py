"""128 clients at once: a k6 script with thresholds on both stores, and `loadtest/concurrent`, which uses oha."""

from ..load import k6
from ..processes import Failed, Tasklane
from .smoke import script


def run(bench):
    for kind in ("sqlite", "postgres"):
        store = bench.store(kind)
        with Tasklane(bench, store) as server:
            held, _, text = k6(bench, "concurrent.js", BASE_URL=server.url, SECRET=bench.secret,
                               DURATION="5s" if bench.quick else "30s")
        if not held:
            raise Failed(f"k6 on {kind}:\n{text}")
        bench.figures.append({"scenario": bench.scenario, "text": f"k6 concurrent.js on {kind}\n{text.strip()}"})
        store.drop()
    script(bench, "concurrent", **({"READS": "10000", "WRITES": "2000"} if bench.quick else {}))
