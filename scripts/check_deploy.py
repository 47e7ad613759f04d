"""Checks of deploy/ that no installed program makes: metrics by name, and the Kubernetes manifests' required fields."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

wrong = []


def must(holds, what):
    if not holds:
        wrong.append(what)


def text(path):
    return pathlib.Path(path).read_text(encoding="utf-8")


# --- metrics: the service's are those with a help text

source = text("src/telemetry/metrics.rs") + text("src/telemetry/traffic.rs")
metrics = set(re.findall(r'(?:counter|gauge|histogram)\(\s*"(tasklane_\w+)"\)', source))
metrics |= set(re.findall(r"# HELP (tasklane_http_\w+)", source))


def named(expressions):
    names = re.findall(r"\btasklane_\w+", " ".join(expressions))
    return {name if name in metrics else re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


dashboard = json.loads(text("deploy/grafana/tasklane.json"))
shown = named(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
rules = [rule for group in yaml.safe_load(text("deploy/prometheus/alerts.yml"))["groups"] for rule in group["rules"]]
must(len(metrics) > 10, "the service's metrics were not found in its source")
for name in sorted(metrics - shown):
    wrong.append(f"{name} is not on the dashboard")
for name in sorted((shown | named(rule["expr"] for rule in rules)) - metrics):
    wrong.append(f"{name} is named in deploy/, but the service has no such metric")

# --- alerts: each is tested and documented

tests = yaml.safe_load(text("deploy/prometheus/alerts_test.yml"))["tests"]
tested = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
operations = text("docs/operations.md")
for rule in rules:
    must(rule["alert"] in tested, f"{rule['alert']} has no test that raises it")
    must(f"`{rule['alert']}`" in operations, f"docs/operations.md does not describe {rule['alert']}")
for name in sorted(metrics):
    must(f"`{name}`" in operations, f"docs/operations.md does not describe {name}")

# --- Kubernetes

settings = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text(".env.example"), re.MULTILINE))
documents = list(yaml.safe_load_all(text("deploy/kubernetes/tasklane.yaml")))
kinds = {document["kind"]: document for document in documents}
versions = {
    "ConfigMap": "v1", "Deployment": "apps/v1", "Service": "v1", "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1",
}
must({kind: document["apiVersion"] for kind, document in kinds.items()} == versions, "Kubernetes: other kinds than expected")
must(all(document["metadata"]["name"] == "tasklane" for document in documents), "Kubernetes: a resource is not named tasklane")
configured = kinds["ConfigMap"]["data"]
must(all(isinstance(value, str) for value in configured.values()), "ConfigMap: a value is not a string")
for name in sorted(set(configured) - settings):
    wrong.append(f"ConfigMap: the service has no setting {name}")
deployment = kinds["Deployment"]["spec"]
pod = deployment["template"]["spec"]
container = pod["containers"][0]
labels = deployment["template"]["metadata"]["labels"]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
must(deployment["selector"]["matchLabels"] == labels, "Deployment: its selector misses its pods")
must(kinds["Service"]["spec"]["selector"] == labels, "Service: its selector misses the pods")
must(kinds["Service"]["spec"]["ports"][0]["targetPort"] in ports, "Service: its port is not one of the container's")
must(kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels, "PodDisruptionBudget: misses the pods")
must(kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels, "NetworkPolicy: misses the pods")
must(kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "tasklane", "HPA: scales something else")
must(str(ports["http"]) == configured["PORT"], "Deployment: its port is not PORT")
stop = int(configured["DRAIN_TIME"]) + int(configured["SHUTDOWN_TIMEOUT"])
must(pod["terminationGracePeriodSeconds"] > stop, "Deployment: killed before DRAIN_TIME and SHUTDOWN_TIMEOUT have passed")
for probe, path in [("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")]:
    must(container[probe]["httpGet"]["path"] == path, f"Deployment: {probe} does not ask {path}")
must(pod["securityContext"]["runAsNonRoot"] is True, "Deployment: may run as root")
must(container["securityContext"]["readOnlyRootFilesystem"] is True, "Deployment: its root may be written to")
must(container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, "Deployment: has capabilities")

# --- Patroni: what keeps acknowledged writes

patroni = yaml.safe_load(text("deploy/patroni/patroni.yml"))
dcs = patroni["bootstrap"]["dcs"]
must(dcs["synchronous_mode"] is True and dcs["synchronous_mode_strict"] is True, "Patroni: acknowledged writes may be lost")
must(dcs["ttl"] >= dcs["loop_wait"] + 2 * dcs["retry_timeout"], "Patroni: ttl is shorter than loop_wait and twice retry_timeout")
must(dcs["postgresql"]["use_pg_rewind"] is True, "Patroni: an old primary does not come back by itself")
must(patroni["watchdog"]["mode"] == "required", "Patroni: a primary that was left behind may go on")

# --- docker-compose-cluster.yml

compose = yaml.safe_load(text("docker-compose-cluster.yml"))["services"]
replicas = [compose["one"], compose["two"]]
for replica in replicas:
    unknown = set(replica["environment"]) - settings - {"RUST_LOG"}
    must(not unknown, f"docker-compose-cluster.yml: the service has no setting {unknown}")
    must(replica["environment"]["MODE"] == "cluster", "docker-compose-cluster.yml: the replicas do not expect each other")
    # `${NAME:-default}`
    default = re.fullmatch(r"\$\{DRAIN_TIME:-(\d+)\}", replica["environment"]["DRAIN_TIME"])
    must(default, "docker-compose-cluster.yml: DRAIN_TIME has no default")
    grace, drain = int(replica["stop_grace_period"].rstrip("s")), int(default[1] if default else 0)
    must(grace > drain + 30, "docker-compose-cluster.yml: killed before DRAIN_TIME and SHUTDOWN_TIMEOUT have passed")
with tempfile.TemporaryDirectory() as folder:
    # HAProxy itself checks the file that its container makes from deploy/haproxy.cfg.
    made = pathlib.Path(folder) / "haproxy.cfg"
    command = compose["haproxy"]["command"][0].replace("/etc/tasklane/", "deploy/").replace("/tmp/haproxy.cfg", str(made))
    checked = subprocess.run(["sh", "-c", command.replace("haproxy -W -db -f", "haproxy -c -f")], capture_output=True, check=False)
    must(checked.returncode == 0, f"docker-compose-cluster.yml: {checked.stderr.decode()}")
    named = re.findall(r"server \w+ (\S+):8000", made.read_text())
    addresses = [replica["networks"]["tasklane"]["ipv4_address"] for replica in replicas]
    must(sorted(named) == sorted(addresses * 2), "docker-compose-cluster.yml: HAProxy's addresses are not those of the replicas")

for line in wrong:
    print(line, file=sys.stderr)
print(f"{len(metrics)} metrics, {len(rules)} alerts, {len(documents)} manifests: {len(wrong)} mistakes")
sys.exit(bool(wrong))
