"""Checks rendered manifests by rules that no schema and no scanner has, and splits off those of
Kubernetes' own kinds.

usage: kubernetes.py BUILTIN_OUT RENDERED...

Rules: the restricted Pod Security Standard and more for every pod; every name that one resource uses
of another exists in the same rendering; Secrets are used and never made; what may be reached from
outside is the webhook path only.
"""

import re
import sys

import yaml

# Groups that kubernetes-validate has no schemas for; custom-resources.mjs knows the first two, and
# RABBITMQ_KEYS stands for the third.
CUSTOM = {"keda.sh", "monitoring.coreos.com", "rabbitmq.com"}

# What may stand in a RabbitmqCluster: the keys of the operator's definition that we use, since its
# schema is in no package. A key that is added here is looked up there first.
RABBITMQ_KEYS = {
    "": {"replicas", "resources", "persistence", "rabbitmq", "affinity",
         "terminationGracePeriodSeconds", "tls"},
    "resources": {"requests", "limits"},
    "persistence": {"storage", "storageClassName"},
    "rabbitmq": {"additionalConfig"},
    "affinity": {"podAntiAffinity"},
    "tls": {"secretName"},
}

# The Secrets that an operator of a platform makes, and their keys.
SECRETS = {
    "storekeeper-rabbitmq": {"url", "management_url"},
    "storekeeper-redis": {"url"},
    "storekeeper-ingress": {"secrets", "credentials"},
    "storekeeper-console": {"tokens"},
    "storekeeper-webhooks-tls": set(),
    "storekeeper-authorities": {"ca.crt"},
    "redis-users": {"users.acl"},
    "redis-tls": {"tls.crt", "tls.key"},
}

# The Secrets with the addresses of servers that may be reached by TLS.
SERVERS = {"storekeeper-rabbitmq", "storekeeper-redis"}

# What the restricted standard lets a pod mount, without what this project does not use.
VOLUMES = {"name", "configMap", "secret", "emptyDir", "persistentVolumeClaim"}

WEBHOOK_PATH = "/webhooks/duda"


class Rendering:
    """One file, and the faults that were found in it."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.resources = [one for one in yaml.safe_load_all(file) if one]
        self.faults = []

    def fault(self, resource, text):
        name = resource["metadata"]["name"]
        self.faults.append(f"{self.path}: {resource['kind']} {name}: {text}")

    def of(self, *kinds):
        return [one for one in self.resources if one["kind"] in kinds]

    def names(self, kind):
        return {one["metadata"]["name"] for one in self.of(kind)}

    def pods(self):
        """Each workload with its pod template's labels and spec."""
        for one in self.of("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
            spec = one["spec"]
            if one["kind"] == "CronJob":
                spec = spec["jobTemplate"]["spec"]
            template = spec["template"]
            yield one, template.get("metadata", {}).get("labels", {}), template["spec"]


def group_of(resource):
    group, _, version = resource["apiVersion"].rpartition("/")
    return group


def check_pod(rendering, workload, pod):
    def fault(text):
        rendering.fault(workload, text)

    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(flag):
            fault(f"{flag} is set")
    if pod.get("automountServiceAccountToken") is not False:
        fault("the pod gets a token of Kubernetes: automountServiceAccountToken is not false")
    around = pod.get("securityContext", {})
    if around.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        fault("seccompProfile is not RuntimeDefault")
    if around.get("runAsNonRoot") is not True or around.get("runAsUser", 0) < 1000:
        fault("the pod may run as root: it needs runAsNonRoot and a runAsUser of 1000 or more")
    for volume in pod.get("volumes", []):
        other = set(volume) - VOLUMES
        if other:
            fault(f"volume {volume['name']}: {', '.join(sorted(other))} is not allowed")
    for container in pod.get("initContainers", []) + pod["containers"]:
        check_container(fault, container, around)
    is_service = workload["kind"] in ("Deployment", "StatefulSet", "DaemonSet")
    for container in pod["containers"]:
        missing = [probe for probe in ("startupProbe", "livenessProbe", "readinessProbe")
                   if is_service and probe not in container]
        if missing:
            fault(f"container {container['name']} has no {', '.join(missing)}")
        if is_service and container["name"] == "storekeeper":
            check_probes(fault, container)


def check_container(fault, container, around):
    name = f"container {container['name']}"
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        fault(f"{name} may gain privileges")
    if context.get("readOnlyRootFilesystem") is not True:
        fault(f"{name} may write to its root file system")
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        fault(f"{name} does not drop ALL capabilities")
    if context.get("runAsUser", around.get("runAsUser", 0)) == 0:
        fault(f"{name} runs as root")
    resources = container.get("resources", {})
    for bound in ("requests", "limits"):
        for what in ("cpu", "memory"):
            if what not in resources.get(bound, {}):
                fault(f"{name} has no {bound} of {what}")
    image, _, tag = container["image"].rpartition(":")
    if not image or "/" in tag or tag == "latest":
        fault(f"{name}: {container['image']} is no fixed version")


def check_probes(fault, container):
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        get = container.get(probe, {}).get("httpGet", {})
        if get.get("path") != path or get.get("port") != "probes":
            fault(f"{probe} does not ask {path} on the port probes")


def check_files(rendering, workload, pod):
    """Mounts have their volumes, and variables name files that are mounted."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    spec = workload["spec"]
    for claim in spec.get("volumeClaimTemplates", []):
        volumes[claim["metadata"]["name"]] = claim
    for name, volume in volumes.items():
        secret = volume.get("secret")
        if secret is None:
            continue
        known = SECRETS.get(secret["secretName"])
        if known is None:
            rendering.fault(workload, f"volume {name}: there is no Secret {secret['secretName']}")
            continue
        if not secret.get("items"):
            rendering.fault(workload, f"volume {name} mounts keys that it does not name")
        for item in secret.get("items", []):
            if item["key"] not in known:
                rendering.fault(workload, f"volume {name}: no key {item['key']} in the Secret")
    for container in pod.get("initContainers", []) + pod["containers"]:
        files = set()
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"])
            if volume is None:
                rendering.fault(workload, f"there is no volume {mount['name']} to mount")
                continue
            for item in volume.get("secret", {}).get("items", []):
                files.add(f"{mount['mountPath']}/{item['path']}")
        for variable in container.get("env", []):
            name, value = variable["name"], variable.get("value", "")
            if name.endswith("_FILE") and value not in files:
                rendering.fault(workload, f"{name}: {value} is not mounted")
            if re.search(r"://[^/\s]*:[^/\s]*@", value):
                rendering.fault(workload, f"{name} holds a password")
    unused = set(volumes) - {mount["name"]
                             for container in pod.get("initContainers", []) + pod["containers"]
                             for mount in container.get("volumeMounts", [])}
    for name in sorted(unused):
        rendering.fault(workload, f"nothing mounts the volume {name}")
    for volume in volumes.values():
        name = volume.get("configMap", {}).get("name")
        if name is not None and name not in rendering.names("ConfigMap"):
            rendering.fault(workload, f"there is no ConfigMap {name}")


def check_authorities(rendering):
    """Where one pod trusts a private authority, all do that have a server's address, and no policy
    lets them go to RabbitMQ without TLS."""
    trusting, others = [], []
    for workload, _, pod in rendering.pods():
        secrets = {volume.get("secret", {}).get("secretName") for volume in pod.get("volumes", [])}
        if secrets & SERVERS:
            trusts = any(variable["name"] == "SSL_CERT_FILE" for container in pod["containers"]
                         for variable in container.get("env", []))
            (trusting if trusts else others).append(workload)
    if not trusting:
        return
    for workload in others:
        rendering.fault(workload, "it does not have the SSL_CERT_FILE that others have")
    for policy in rendering.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            if any(port["port"] == 5672 for port in rule.get("ports", [])):
                rendering.fault(policy, "it lets out to RabbitMQ's port without TLS")


def matches(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or []:
        value = labels.get(one["key"])
        if one["operator"] == "In" and value not in one["values"]:
            return False
        if one["operator"] == "NotIn" and value in one["values"]:
            return False
    return True


def check_selectors(rendering):
    pods = list(rendering.pods())

    def ports_of(selector):
        chosen = [pod for _, labels, pod in pods if matches(selector, labels)]
        return chosen, {port["name"] for pod in chosen for container in pod["containers"]
                        for port in container.get("ports", [])}

    for workload, labels, _ in pods:
        selector = workload["spec"].get("selector")
        if workload["kind"] in ("Deployment", "StatefulSet") and not matches(selector, labels):
            rendering.fault(workload, "its selector is not that of its pods")
    for service in rendering.of("Service"):
        chosen, names = ports_of({"matchLabels": service["spec"]["selector"]})
        if len(chosen) != 1:
            rendering.fault(service, f"it leads to {len(chosen)} workloads")
        for port in service["spec"]["ports"]:
            if chosen and port["targetPort"] not in names:
                rendering.fault(service, f"no pod has the port {port['targetPort']}")
    for budget in rendering.of("PodDisruptionBudget"):
        # The pods of RabbitMQ are made by its operator.
        if budget["metadata"].get("namespace") == "rabbitmq":
            continue
        if not ports_of(budget["spec"]["selector"])[0]:
            rendering.fault(budget, "it selects no pod")
    for policy in rendering.of("NetworkPolicy"):
        if policy["metadata"].get("namespace") == "rabbitmq":
            continue
        chosen, names = ports_of(policy["spec"]["podSelector"])
        if pods and not chosen:
            rendering.fault(policy, "it selects no pod")
        for rule in policy["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                if isinstance(port["port"], str) and port["port"] not in names:
                    rendering.fault(policy, f"no pod has the port {port['port']}")
            if not rule.get("from") or not rule.get("ports"):
                rendering.fault(policy, "a rule lets everybody in, or on every port")
        for rule in policy["spec"].get("egress", []):
            if not rule.get("to") or not rule.get("ports"):
                rendering.fault(policy, "a rule lets everything out, or on every port")


def check_names(rendering):
    scaled = {}
    for scaler in rendering.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        name = target["name"]
        if name not in rendering.names(target.get("kind", "Deployment")):
            rendering.fault(scaler, f"there is no {name} to scale")
        if name in scaled:
            rendering.fault(scaler, f"{name} is scaled by {scaled[name]} too")
        scaled[name] = scaler["kind"]
    for deployment in rendering.of("Deployment"):
        has_replicas = "replicas" in deployment["spec"]
        if has_replicas == (deployment["metadata"]["name"] in scaled):
            rendering.fault(deployment, "either it says how many replicas, or a scaler does")
    for scaled_object in rendering.of("ScaledObject"):
        for trigger in scaled_object["spec"]["triggers"]:
            name = trigger.get("authenticationRef", {}).get("name")
            if name is not None and name not in rendering.names("TriggerAuthentication"):
                rendering.fault(scaled_object, f"there is no TriggerAuthentication {name}")
    for authentication in rendering.of("TriggerAuthentication"):
        for secret in authentication["spec"].get("secretTargetRef", []):
            if secret["key"] not in SECRETS.get(secret["name"], set()):
                rendering.fault(authentication, f"no key {secret['key']} in {secret['name']}")
    for ingress in rendering.of("Ingress"):
        for secret in ingress["spec"].get("tls", []):
            if secret["secretName"] not in SECRETS:
                rendering.fault(ingress, f"there is no Secret {secret['secretName']}")
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                if path["path"] != WEBHOOK_PATH:
                    rendering.fault(ingress, f"{path['path']} is not for the outside")
                backend = path["backend"]["service"]
                ports = [port["name"] for service in rendering.of("Service")
                         if service["metadata"]["name"] == backend["name"]
                         for port in service["spec"]["ports"]]
                if backend["port"].get("name") not in ports:
                    rendering.fault(ingress, f"{backend['name']} has no such port")
    for workload, _, pod in rendering.pods():
        account = pod.get("serviceAccountName")
        # A Job is applied where everything else is already.
        alone = len(rendering.resources) == 1
        if account is not None and not alone and account not in rendering.names("ServiceAccount"):
            rendering.fault(workload, f"there is no ServiceAccount {account}")


def check_rabbitmq(rendering):
    for cluster in rendering.of("RabbitmqCluster"):
        spec = cluster["spec"]
        for part, known in RABBITMQ_KEYS.items():
            found = spec.get(part, {}) if part else spec
            for key in sorted(set(found) - known):
                rendering.fault(cluster, f"spec.{part}: {key} is not among the keys that we know")
        if spec.get("replicas", 1) % 2 == 0:
            rendering.fault(cluster, "an even number of nodes has no majority in half of them")


def check(rendering):
    if not rendering.resources:
        rendering.faults.append(f"{rendering.path}: is empty")
    for resource in rendering.resources:
        kind = resource["kind"]
        if kind == "Secret":
            rendering.fault(resource, "Secrets are made by those who have them")
        if kind == "Service" and resource["spec"].get("type", "ClusterIP") != "ClusterIP":
            rendering.fault(resource, "it can be reached from outside")
        if kind == "Namespace":
            labels = resource["metadata"].get("labels", {})
            level = labels.get("pod-security.kubernetes.io/enforce")
            # RabbitMQ's operator makes pods that the restricted standard does not know well enough.
            wanted = "baseline" if resource["metadata"]["name"] == "rabbitmq" else "restricted"
            if level != wanted:
                rendering.fault(resource, f"its Pod Security Standard is {level}, not {wanted}")
        elif kind != "Namespace" and not resource["metadata"].get("namespace"):
            rendering.fault(resource, "it has no namespace")
    for workload, _, pod in rendering.pods():
        check_pod(rendering, workload, pod)
        check_files(rendering, workload, pod)
    check_selectors(rendering)
    check_names(rendering)
    check_authorities(rendering)
    check_rabbitmq(rendering)


def main(builtin, paths):
    renderings = [Rendering(path) for path in paths]
    kept = []
    for rendering in renderings:
        check(rendering)
        kept += [one for one in rendering.resources if group_of(one) not in CUSTOM]
    with open(builtin, "w", encoding="utf-8") as file:
        yaml.safe_dump_all(kept, file)
    faults = [fault for rendering in renderings for fault in rendering.faults]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
