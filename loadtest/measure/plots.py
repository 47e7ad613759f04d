"""Draws the plots of a raw.json beside it, as SVG. Runs under the Python of `scripts/tool plots`."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same data give the same file.
matplotlib.rcParams.update({"svg.hashsalt": "tasklane", "svg.fonttype": "none", "font.size": 10})

import matplotlib.pyplot as plt

# plot: (x axis, y axis, y logarithmic)
AXES = {
    "Latency against concurrency": ("connections", "ms", True),
    "Throughput against concurrency": ("connections", "requests/s", False),
    "Throughput against users": ("users", "requests/s", False),
    "Latency against tasks per user": ("tasks of the user", "ms, p50", False),
    "Batch size against load": ("connections", "users a commit", True),
    "Throughput of writes against concurrency": ("connections", "writes/s", False),
    "Latency of writes against concurrency": ("connections", "ms", True),
    "Memory against users": ("users", "MiB", True),
    "Memory in a soak": ("seconds", "MiB", False),
    "Latency in a soak": ("seconds", "ms", False),
}


def draw(name, lines, folder):
    across, up, logarithmic = AXES[name]
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    for line in lines:
        axes.plot(*zip(*line["points"]), marker="o", markersize=4, label=line["label"])
    if across != "seconds":
        axes.set_xscale("log")
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(title=name, xlabel=across, ylabel=up)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(folder / (name.lower().replace(" ", "-") + ".svg"), metadata={"Date": None})
    plt.close(figure)


def main(raw):
    plots = {}
    for line in json.loads(raw.read_text())["series"]:
        plots.setdefault(line["plot"], []).append(line)
    for name, lines in plots.items():
        draw(name, lines, raw.parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
