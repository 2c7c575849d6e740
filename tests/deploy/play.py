"""Turns a rendered workload into what `podman play kube` can run, and says what it changed.

usage: play.py RENDERED KIND/NAME IMAGES_JSON <SECRETS_JSON >POD_YAML
       play.py --claims POD_YAML: its claims, each with the group that its volume is for
       play.py --volumes POD_YAML: the names of the volumes that podman makes of it

IMAGES_JSON maps images to those that are to be run. SECRETS_JSON, on stdin, maps Secrets to keys and
values.
"""

import json
import sys

import yaml


def read(path):
    with open(path, encoding="utf-8") as file:
        return [one for one in yaml.safe_load_all(file) if one]


def claims(path):
    for one in read(path):
        pod = one.get("spec", {})
        pod = pod.get("template", {}).get("spec", pod)
        for volume in pod.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                yield volume["persistentVolumeClaim"]["claimName"], pod["securityContext"]["fsGroup"]


def main(rendered, wanted, images, secrets):
    resources = read(rendered)
    kind, name = wanted.split("/")
    workload = next(one for one in resources
                    if one["kind"] == kind and one["metadata"]["name"] == name)
    changed = []

    def change(text):
        if text not in changed:
            changed.append(text)

    spec = workload["spec"]
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template = spec["template"]
    pod = template["spec"]
    if kind != "Deployment":
        change(f"{kind}: its pod alone")
    pod_name = name if kind == "Deployment" else f"{name}-0"
    for claim in spec.get("volumeClaimTemplates", []):
        claim = claim["metadata"]["name"]
        pod.setdefault("volumes", []).append(
            {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{pod_name}"}})
    used = set()
    for volume in pod.get("volumes", []):
        if "secret" in volume:
            # 4.3 writes the files of Secrets in base64.
            change("Secrets: mounted as ConfigMaps")
            volume["configMap"] = {"name": volume.pop("secret")["secretName"]}
        if "configMap" in volume:
            volume["configMap"]["optional"] = False
            used.add(volume["configMap"]["name"])
    for container in pod.get("initContainers", []) + pod["containers"]:
        container["image"] = images.get(container["image"], container["image"])
        # It would ask with a curl inside of the container; the script asks from outside.
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if container.pop(probe, None):
                change("probes: asked by the script")
        if container.pop("ports", None):
            change("ports: not published on the host, where pods would take each other's")
        if container.pop("lifecycle", None):
            change("preStop: left out, podman knows none")
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                change("the pod's name: written in place")
                variable.pop("valueFrom")
                variable["value"] = pod_name
        # Kubernetes puts variables into arguments.
        for variable in container.get("env", []):
            container["args"] = [argument.replace(f"$({variable['name']})", variable["value"])
                                 for argument in container.get("args", [])]
    out = [one for one in resources
           if one["kind"] == "ConfigMap" and one["metadata"]["name"] in used]
    for secret in used - {one["metadata"]["name"] for one in out}:
        out.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": secret},
                    "data": secrets[secret]})
    if kind == "Deployment":
        # What scales it says how many; here it is one.
        workload["spec"].setdefault("replicas", 1)
        out.append(workload)
    else:
        out.append({"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": pod_name, "labels": template["metadata"]["labels"]},
                    "spec": {**pod, "restartPolicy": pod.get("restartPolicy", "Always")}})
    for one in out:
        one["metadata"].pop("namespace", None)
    yaml.safe_dump_all(out, sys.stdout)
    for text in changed:
        print(f"   {wanted}: {text}", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1] == "--claims":
        for claim, group in claims(sys.argv[2]):
            print(claim, group)
    elif sys.argv[1] == "--volumes":
        for claim, _ in claims(sys.argv[2]):
            print(claim)
        for one in read(sys.argv[2]):
            if one["kind"] == "ConfigMap":
                print(one["metadata"]["name"])
    else:
        main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.load(sys.stdin))
