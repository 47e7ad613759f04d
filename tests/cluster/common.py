"""What the scripts in this folder share."""

import os
import pathlib
import random
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    """A port below the range for outgoing connections, so that it is still free at the next start."""
    for _ in range(1000):
        port = random.randrange(15000, 30000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    sys.exit("no port is free")


def until(holds, what, seconds=6, every=0.1):
    """Waits until `holds` returns something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if held := holds():
                return held
        except OSError:
            pass
        time.sleep(every)
    sys.exit(f"waited in vain: {what}")


def install(programs):
    """Installs Debian's packages of missing programs. None of their services is left running."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/lib/postgresql/15/bin"])
    there = [folder for folder in path.split(os.pathsep) if os.path.isdir(folder)]
    missing = sorted({package for program, package in programs.items()
                      if not any(os.access(f"{folder}/{program}", os.X_OK) for folder in there)})
    if missing:
        script = '. scripts/lib.sh; can_apt && apt_install_idle "$@"'
        if subprocess.run(["bash", "-c", script, "install", *missing], cwd=ROOT, stdout=sys.stderr, check=False).returncode:
            sys.exit(f"missing: {' '.join(missing)}")
