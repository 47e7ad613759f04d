"""Prepared requests, and the programs that send them."""

import base64
import hashlib
import hmac
import json
import re
import socket
import subprocess
import time

from .processes import ROOT, Failed, output, subject, task_id


def token(secret, user):
    """An HS256 token of the user with this subject, valid for a day."""
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    claims = {"sub": user, "exp": int(time.time()) + 86400}
    signed = f'{part(b"""{"alg":"HS256","typ":"JWT"}""")}.{part(json.dumps(claims).encode())}'
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def request(method, path, bearer=None, body=None, headers=()):
    """A request as bytes, with the headers of a minimal client."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if body is not None:
        body = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    elif method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + (body or b"")


class Users:
    """Some users and their tokens, the same for all requests of a run, so that the server has the tokens cached."""

    def __init__(self, bench, count, first=0):
        self.numbers = range(first, first + count)
        self.tokens = {number: token(bench.secret, subject(number)) for number in self.numbers}

    def each(self, method, path, body=None, headers=()):
        """One request for each user; in the path, {user} is the user and {task N} the user's N-th task."""
        def filled(number):
            text = path.replace("{user}", subject(number))
            if "{task " in text:
                before, rest = text.split("{task ", 1)
                task, after = rest.split("}", 1)
                text = before + task_id(number, int(task)) + after
            return text
        return [request(method, filled(n), self.tokens[n], body, headers) for n in self.numbers]


def lists(users):
    return users.each("GET", "/api/{user}/tasks")


def unmodified(users, address):
    """Requests of lists as they are, each with its tag."""
    def conditional(one):
        tag = re.search(rb"(?i)\r\netag: ([^\r]+)", raw_answer(address, one)).group(1)
        return one.replace(b"\r\n\r\n", b"\r\nIf-None-Match: " + tag + b"\r\n\r\n", 1)
    return [conditional(one) for one in lists(users)]


def posts(users):
    body = {"title": "A task that a load test made", "description": "What there is to say about it, in one line of sixty letters."}
    return users.each("POST", "/api/{user}/tasks", body)


def four_reads_a_write(load, users):
    """The kinds of a mixed load: four reads for each write."""
    return {
        "list": (30, 200, load.file(users.each("GET", "/api/{user}/tasks?limit=20"))),
        "get": (50, 200, load.file(users.each("GET", "/api/{user}/tasks/{task 7}"))),
        "post": (10, 201, load.file(posts(users))),
        "toggle": (10, 200, load.file(users.each("PATCH", "/api/{user}/tasks/{task 7}/complete"))),
    }


def raw_answer(address, data):
    """The bytes of one answer, head and body."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as stream:
        stream.sendall(data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        parts = []
        while part := stream.recv(65536):
            parts.append(part)
    return b"".join(parts)


class Load:
    """The load generator and its requests."""

    def __init__(self, bench):
        self.bench = bench

    def file(self, requests):
        path = self.bench.work / f"requests-{self.bench.number()}"
        with open(path, "wb") as out:
            for each in requests:
                out.write(b"%d\n%b" % (len(each), each))
        return path

    def run(self, server, kinds, connections=64, seconds=None, warm_up=None, once=False):
        """Sends requests: `kinds` maps a name to (weight, expected status, file). Returns what the generator
        tells, with the server's CPU time for each request."""
        seconds = self.bench.seconds if seconds is None else seconds
        warm_up = self.bench.warm_up if warm_up is None else warm_up
        command = [self.bench.binary("load"), server.address, "--connections", connections, "--seconds", seconds,
                   "--warm-up", warm_up, *(["--once"] if once else [])]
        command += [f"{name}={weight}={status}={file}" for name, (weight, status, file) in kinds.items()]
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   cwd=self.bench.work)
        try:
            if not once:
                time.sleep(warm_up)
            before = server.cpu()
            out, err = process.communicate(timeout=seconds + 600)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise Failed(f"load: {err}")
        told = json.loads(out)
        told["count"] = sum(kind["count"] for kind in told["kinds"].values())
        told["errors"] = sum(kind["errors"] for kind in told["kinds"].values())
        told["rate"] = round(told["count"] / told["seconds"], 1)
        told["server_cpu_us"] = round((server.cpu() - before) * 1e6 / max(1, told["count"]), 2)
        if told["errors"]:
            told["faults"] = {name: kind["faults"] for name, kind in told["kinds"].items()}
        return told

    def one(self, server, requests, status=200, **options):
        """Requests of one kind only; every answer must be correct. Returns the kind's figures."""
        file = requests if hasattr(requests, "name") else self.file(requests)
        told = self.run(server, {"all": (1, status, file)}, **options)
        if told["errors"]:
            raise Failed(f"{told['errors']} wrong answers: {told['faults']}")
        return {**told["kinds"]["all"], "seconds": told["seconds"], "server_cpu_us": told["server_cpu_us"]}


def k6(bench, script, **variables):
    """Runs a k6 script; returns whether its thresholds held, its figures and its text."""
    report = bench.work / f"k6-{bench.number()}.json"
    command = [output("scripts/tool", "k6"), "run", "--quiet", "--no-color", "--address", "127.0.0.1:0"]
    for name, value in {**variables, "JSON": report}.items():
        command += ["-e", f"{name}={value}"]
    done = subprocess.run([*map(str, command), str(ROOT / "loadtest" / "k6" / script)], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(bench.work), "K6_NO_USAGE_REPORT": "true"})
    metrics = json.loads(report.read_text())["metrics"] if report.exists() else {}
    return done.returncode == 0, metrics, done.stdout + done.stderr
