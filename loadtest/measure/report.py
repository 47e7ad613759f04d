"""Results as files: all data as JSON, a table as Markdown, and the plots."""

import datetime
import json
import subprocess
from pathlib import Path

from .processes import Failed, tool


class Results:
    """The results of one commit on one day. A scenario that is run again replaces its earlier results."""

    def __init__(self, folder, commit, command):
        self.folder, self.commit, self.command = Path(folder), commit, command
        self.folder.mkdir(parents=True, exist_ok=True)
        self.raw = self.folder / "raw.json"
        empty = {"commit": commit, "machine": {}, "runs": [], "targets": [], "figures": [], "series": []}
        self.all = json.loads(self.raw.read_text()) if self.raw.exists() else empty

    def add(self, bench, run, machine):
        """Adds a scenario's results, and rewrites all files."""
        run = {**run, "command": self.command.strip(), "at": f"{datetime.datetime.now():%Y-%m-%d %H:%M}", "rounds": bench.rounds}
        for key, found in (("runs", [run]), ("targets", bench.targets), ("figures", bench.figures), ("series", bench.series)):
            kept = [each for each in self.all[key] if each["scenario"] != run["scenario"]]
            self.all[key] = kept + found
        self.all["machine"] = {**self.all["machine"], **{name: value for name, value in machine.items() if value}}
        self.raw.write_text(json.dumps(self.all, indent=1, ensure_ascii=False) + "\n")
        self.draw()
        (self.folder / "README.md").write_text(self.text())

    def missed(self, scenarios):
        return [f"target {each['number']}: {each['measured']:.3f} ({each['goal']})"
                for each in self.all["targets"] if not each["reached"] and each["scenario"] in scenarios]

    def draw(self):
        """Draws the plots, with a Python that has matplotlib."""
        if not self.all["series"]:
            return
        done = subprocess.run([tool("plots"), Path(__file__).with_name("plots.py"), self.raw], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"the plots could not be drawn: {done.stderr}")

    def text(self):
        """The table, the other figures and the plots, as Markdown."""
        told = self.all["machine"]
        lines = [
            f"# Measured at {self.all['commit']}", "",
            f"{told['processor']}, {told['cores']} cores, {told['memory_gib']} GiB; Linux {told['kernel']}; {told['rustc']}; "
            f"{told.get('postgres', 'no PostgreSQL')}. Load generator, servers and databases share the machine. "
            "Each ratio is the median of the rounds' ratios; rounds alternate between the two sides.", "",
            "| # | what | against | goal | measured | | |", "|---|---|---|---|---|---|---|",
        ]
        order = lambda each: each["number"] if isinstance(each["number"], int) else 99
        for each in sorted(self.all["targets"], key=order):
            mark = "reached" if each["reached"] else "**missed**"
            lines.append(f"| {each['number']} | {each['what']} | {each['against']} | {each['goal']} | {each['measured']:.2f} | {mark} | {each['detail']} |")
        lines += ["", "## How", "", "| scenario | command | at | rounds | seconds | load average before | fdatasync before, p50 and p90 | |", "|---|---|---|---|---|---|---|---|"]
        for run in self.all["runs"]:
            lines.append(f"| {run['scenario']} | `{run['command']}` | {run['at']} | {run['rounds']} | {run['seconds']} | "
                         f"{run['load_before']:.2f} | {run['fdatasync_ms'][0]}, {run['fdatasync_ms'][1]} ms | {'failed: ' + run['failed'].splitlines()[0] if run['failed'] else ''} |")
        numbers = [each for each in self.all["figures"] if "value" in each]
        if numbers:
            lines += ["", "## Further figures", ""]
            lines += [f"- {each['what']}: {each['value']:,.2f} {each['unit']}" for each in numbers]
        for each in self.all["figures"]:
            if "text" in each:
                lines += ["", f"### {each['scenario']}", "", "```", each["text"], "```"]
        plots = sorted(file.name for file in self.folder.glob("*.svg"))
        if plots:
            lines += ["", "## Plots", ""]
            lines += [f"![{name[:-4].replace('-', ' ')}]({name})\n" for name in plots]
        return "\n".join(lines).rstrip() + "\n"
