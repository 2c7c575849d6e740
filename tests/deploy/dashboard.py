"""Reads a dashboard of Grafana.

    dashboard.py faults FILE    what is wrong with it, and with how it is provisioned
    dashboard.py types FILE     the same dashboard in TypeScript, for the compiler to look at

What its queries name is looked at by queries.py.
"""

import json
import pathlib
import re
import sys

import yaml

# What is shown of numbers; others are seconds, bytes or shares.
PLAIN = {"none", "short", "cps"}


def faults_of_panels(panels):
    ids = [panel["id"] for panel in panels]
    if len(ids) != len(set(ids)):
        yield "two panels have the same id"
    taken = {}
    for panel in panels:
        name, place = panel["title"] or panel["type"], panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{name}: wider than the grid"
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            other = taken.setdefault(cell, name)
            if other is not name:
                yield f"{name}: over {other}"
                break
        if panel["type"] not in ("row", "text"):
            yield from faults_of_panel(panel, name)


def faults_of_panel(panel, name):
    if not panel.get("description", "").endswith("."):
        yield f"{name}: no description in sentences"
    if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
        yield f"{name}: its datasource is not the variable"
    for target in panel["targets"]:
        for selector in re.findall(r"\{([^{}]*)\}", target["expr"]):
            if not re.search(r'job="\$job"|job=~"\$job\|"', selector):
                yield f"{name}: {target['expr']}: not only of the installation that was chosen"
        if "{" not in target["expr"]:
            yield f"{name}: {target['expr']}: not only of the installation that was chosen"
    if panel["type"] in ("stat", "timeseries"):
        defaults = panel["fieldConfig"]["defaults"]
        unit, queries = defaults.get("unit"), " ".join(target["expr"] for target in panel["targets"])
        if not unit:
            yield f"{name}: no unit"
        if "seconds" in queries and "process_cpu" not in queries and unit not in ("s", "percentunit"):
            yield f"{name}: shows seconds as {unit}"
        if "bytes" in queries and unit != "bytes":
            yield f"{name}: shows bytes as {unit}"
        if "bytes" not in queries and "seconds" not in queries and "/" not in queries and unit not in PLAIN:
            yield f"{name}: shows a number as {unit}"


def faults_of_order(panels):
    """The three questions, in their order, and then the processes."""
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    if rows != ["Is stock right?", "Is it fresh?", "What is stuck?", "Processes"]:
        yield f"the rows are {rows}"
    tops = [panel["gridPos"]["y"] for panel in panels]
    if tops != sorted(tops):
        yield "panels do not stand in the order of the file"


def faults_of_alerts(panels):
    rules = yaml.safe_load(pathlib.Path("deploy/prometheus/storekeeper.rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    named = set(re.findall(r"Storekeeper[A-Z]\w+", " ".join(panel.get("description", "") for panel in panels)))
    yield from (f"no panel names the alert {alert}" for alert in sorted(alerts - named))
    yield from (f"there is no alert {alert}" for alert in sorted(named - alerts))


def faults_of_provisioning(file):
    read = lambda path: yaml.safe_load(pathlib.Path(path).read_text())
    source = read("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    interval = read("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"]
    if source["jsonData"]["timeInterval"] != interval:
        yield f"the datasource's interval is not {interval}, as Prometheus scrapes"
    folder = read("deploy/grafana/provisioning/dashboards/storekeeper.yml")["providers"][0]["options"]["path"]
    services = read("deploy/compose.yaml")["services"]
    if not re.fullmatch(r"http://prometheus:9090", source["url"]) or "prometheus" not in services:
        yield f"{source['url']} is not the Prometheus of compose.yaml"
    mounts = dict(mount.split(":")[:2] for mount in services["grafana"]["volumes"])
    here = "./" + str(pathlib.Path(file).parent.relative_to("deploy"))
    for host, container in ((here, folder), ("./grafana/provisioning", "/etc/grafana/provisioning")):
        if mounts.get(host) != container:
            yield f"compose.yaml does not mount {host} at {container}"


# In JSON, the member of an enum is its text; and of a panel's options, many have defaults.
TYPES = """
import type { Dashboard } from '@grafana/schema';
type InJson<T> = T extends string ? `${T}` : T extends (infer U)[] ? InJson<U>[]
    : T extends object ? { [K in keyof T]: InJson<T[K]> } : T;
type Some<T> = T extends (infer U)[] ? Some<U>[]
    : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;
"""


def in_typescript(dashboard):
    """The dashboard, and the options of its panels, as constants of their types: what is misspelt is
    no member, and what is missing is told."""
    lines = [TYPES, f"export const dashboard: InJson<Dashboard> = {json.dumps(dashboard)};"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for kind in sorted({panel["type"] for panel in panels}):
        types = f"./node_modules/@grafana/schema/dist/types/raw/composable/{kind}/panelcfg/x/types.gen.js"
        lines.append(f"import type * as {kind} from '{types}';")
    for panel in panels:
        name, kind = f"panel_{panel['id']}", panel["type"]
        lines.append(f"export const {name}: Some<InJson<{kind}.Options>> = {json.dumps(panel['options'])};")
        custom = panel.get("fieldConfig", {}).get("defaults", {}).get("custom")
        if custom:
            lines.append(f"export const {name}_field: Some<InJson<{kind}.FieldConfig>> = {json.dumps(custom)};")
    return "\n".join(lines)


def main(arguments):
    match arguments:
        case ["types", file]:
            print(in_typescript(json.loads(pathlib.Path(file).read_text())))
            return 0
        case ["faults", file]:
            pass
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    dashboard = json.loads(pathlib.Path(file).read_text())
    panels = dashboard["panels"]
    faults = [
        *faults_of_panels(panels),
        *faults_of_order(panels),
        *faults_of_alerts(panels),
        *faults_of_provisioning(file),
    ]
    for fault in faults:
        print(f"{file}: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
