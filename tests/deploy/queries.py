"""Reads the queries of alerts and of the dashboard, and says what is wrong with them.

    queries.py rules RULES TESTS    alerts, and the tests that promtool runs of them
    queries.py dashboard FILE       panels and variables of Grafana
    queries.py names                the names of all series, one a line

A query may name only what `/metrics` shows: the list in src/metrics/tests.rs, which a test keeps
true. Counters are looked at through rate() and its kin, and what several processes read of the same
queue and Store is never added up.
"""

import json
import pathlib
import re
import sys

import promql_parser
import yaml

COUNTING = {"rate", "irate", "increase"}
# What is one process's own, so that a sum over processes means something.
OF_ONE_PROCESS = re.compile(r"process_|storekeeper_role$|storekeeper_build_info$|up$|ALERTS$")
# Labels that Prometheus gives, and those of histograms.
GIVEN_LABELS = {"namespace", "job", "instance", "service", "pod", "le"}
ALERT_LABELS = {"alertname", "alertstate", "severity"}
SEVERITIES = {"critical", "warning"}


def shown():
    """Every series that `/metrics` shows, with the type of its metric; and up, of Prometheus."""
    text = pathlib.Path("src/metrics/tests.rs").read_text()
    snapshot = re.search(r'assert_snapshot!\(names\.join\("\\n"\), @r"\n(.*?)\n\s*"\)', text, re.S)
    series = {"up": "gauge", "ALERTS": "gauge"}
    endings = {
        "counter": ["_total"],
        "gauge": [""],
        "histogram": ["_bucket", "_count", "_sum"],
        "info": ["_info"],
    }
    for line in snapshot[1].splitlines():
        name, kind = line.split()
        series |= {name + ending: kind for ending in endings[kind]}
    return series


def labels_of_metrics():
    """The labels that metrics have: the fields of their sets of labels, and those of build_info."""
    labels = {"version"}
    for path in pathlib.Path("src/metrics").glob("*.rs"):
        sets = re.findall(r"EncodeLabelSet\)\]\n(?:pub )?struct \w+ \{(.*?)\n\}", path.read_text(), re.S)
        labels |= {field for body in sets for field in re.findall(r"^ +(?:pub )?(\w+):", body, re.M)}
    return labels


SERIES = shown()
LABELS = labels_of_metrics() | GIVEN_LABELS
SOURCE = "\n".join(path.read_text() for path in pathlib.Path("src").rglob("*.rs"))


def children(expr):
    """The parts of an expression."""
    found = []
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "args"):
        value = getattr(expr, name, None)
        found += value if isinstance(value, list) else [value]
    return [part for part in found if isinstance(part, promql_parser.Expr)]


def faults_of_matchers(matchers, allowed):
    for matcher in matchers.matchers:
        if matcher.name not in allowed:
            yield f"no metric has the label {matcher.name}"
        if matcher.name in GIVEN_LABELS | ALERT_LABELS or "$" in matcher.value:
            continue
        # Words of a value's alternatives; a pattern is no word.
        for word in matcher.value.split("|"):
            if word and re.fullmatch(r"[a-z0-9_.]+", word) and f'"{word}"' not in SOURCE:
                yield f"nothing has the {matcher.name} {word}"


def faults_of(expr, within=()):
    """What is wrong with an expression; `within` are the functions and aggregations around it."""
    kind = type(expr).__name__
    if kind == "VectorSelector":
        name = expr.name
        if name not in SERIES:
            yield f"/metrics does not show {name}"
            return
        is_counted = bool(COUNTING & set(within))
        is_count = SERIES[name] in ("counter", "histogram")
        if is_count and not is_counted and "absent" not in within:
            yield f"{name} is a counter: use rate() or increase()"
        if not is_count and is_counted:
            yield f"{name} is no counter"
        # The innermost aggregation decides.
        aggregation = next((op for op in reversed(within) if op in ("sum", "avg", "max", "min", "count")), None)
        if aggregation in ("sum", "avg") and not is_count and not OF_ONE_PROCESS.match(name):
            yield f"{name} is the same for every process: take max before {aggregation}"
        allowed = LABELS | ALERT_LABELS if name == "ALERTS" else LABELS
        yield from faults_of_matchers(expr.matchers, allowed)
        return
    modifier = getattr(expr, "modifier", None)
    named = list(getattr(modifier, "labels", None) or [])
    matching = getattr(modifier, "matching", None)
    named += list(getattr(matching, "labels", None) or [])
    for label in named:
        if label not in LABELS | ALERT_LABELS:
            yield f"no metric has the label {label}"
    if kind == "AggregateExpr":
        within = (*within, str(expr.op))
    if kind == "Call":
        within = (*within, expr.func.name)
    for part in children(expr):
        yield from faults_of(part, within)


def faults_of_query(query):
    """What is wrong with a query as it stands in a file; Grafana's variables are put in first."""
    query = query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$__interval", "1m")
    # A variable that is a list becomes a pattern.
    query = re.sub(r"\$\{?(\w+)\}?", r"$\1", query)
    try:
        return list(dict.fromkeys(faults_of(promql_parser.parse(query))))
    except ValueError as error:
        return [f"cannot be read: {error}"]


def firings(test):
    """What a test expects when, in order of time: the alert that a case is about, or None for all,
    and pairs of name and severity of those that fire."""
    cases = []
    for case in test.get("alert_rule_test", []):
        found = {(case["alertname"], alert["exp_labels"]["severity"]) for alert in case["exp_alerts"]}
        cases.append((case["eval_time"], case["alertname"], found))
    for case in test.get("promql_expr_test", []):
        samples = [promql_parser.parse(sample["labels"]).matchers.matchers for sample in case["exp_samples"]]
        samples = [{matcher.name: matcher.value for matcher in sample} for sample in samples]
        cases.append((case["eval_time"], None, {(sample["alertname"], sample["severity"]) for sample in samples}))
    cases.sort(key=lambda case: promql_parser.parse_duration(case[0]))
    return [(about, found) for _, about, found in cases]


def check_tests(alerts, tests):
    """Every alert fires in some test, and is silent before and after in the same one."""
    for name, severity in alerts:
        is_shown = False
        for test in tests:
            seen = [(name, severity) in found for about, found in firings(test) if about in (None, name)]
            if True not in seen:
                continue
            first, last = seen.index(True), len(seen) - 1 - seen[::-1].index(True)
            is_shown |= False in seen[:first] and False in seen[last:]
        if not is_shown:
            yield f"{name}, {severity}: no test has it silent, firing, and silent again"


def runbooks():
    """The sections of the README files in deploy, as links name them."""
    texts = [path.read_text() for path in pathlib.Path("deploy").glob("README*.md")]
    titles = re.findall(r"^#+ (.*)$", "\n".join(texts), re.M)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def check_rules(rules_file, tests_file):
    groups = yaml.safe_load(pathlib.Path(rules_file).read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    sections = runbooks()
    for rule in rules:
        name = rule["alert"]
        for fault in faults_of_query(rule["expr"]):
            yield f"{name}: {fault}"
        if rule["labels"].get("severity") not in SEVERITIES:
            yield f"{name}: no severity of {sorted(SEVERITIES)}"
        annotations = rule["annotations"]
        for wanted in ("summary", "description"):
            if not annotations.get(wanted):
                yield f"{name}: no {wanted}"
        section = name.lower()
        if annotations.get("runbook") != f"deploy/README.md#{section}":
            yield f"{name}: its runbook is not deploy/README.md#{section}"
        if section not in sections:
            yield f"{name}: deploy/README.md has no such section"
    alerts = {(rule["alert"], rule["labels"].get("severity")) for rule in rules}
    tests = yaml.safe_load(pathlib.Path(tests_file).read_text())["tests"]
    yield from check_tests(sorted(alerts), tests)


def queries_of(dashboard):
    """Each query of a dashboard with the place where it stands."""
    for variable in dashboard["templating"]["list"]:
        query = variable.get("query")
        query = query["query"] if isinstance(query, dict) else query
        found = re.fullmatch(r"label_values\((.*), *(\w+)\)", query or "")
        if found:
            yield f"variable {variable['name']}", found[1]
            yield f"variable {variable['name']}", f"count by ({found[2]}) ({found[1]})"
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['id']} ({panel['title']})", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield f"annotation {annotation['name']}", annotation["expr"]


def check_dashboard(file):
    for place, query in queries_of(json.loads(pathlib.Path(file).read_text())):
        for fault in faults_of_query(query):
            yield f"{place}: {fault}: {query}"


def main(arguments):
    match arguments:
        case ["names"]:
            print("\n".join(sorted(SERIES)))
            return 0
        case ["rules", rules, tests]:
            faults = list(check_rules(rules, tests))
        case ["dashboard", file]:
            faults = list(check_dashboard(file))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
