"""As much of the API of Kubernetes as `kubectl apply` needs, which keeps what is applied.

It checks what a server would: each object against the schema of its kind, and that fields which
cannot be changed are not. Custom kinds are taken as they are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import yaml

#: Group, version, kind, plural and whether it lies in a namespace.
KINDS = [
    ("", "v1", "Namespace", "namespaces", False),
    ("", "v1", "ConfigMap", "configmaps", True),
    ("", "v1", "Secret", "secrets", True),
    ("", "v1", "Service", "services", True),
    ("", "v1", "ServiceAccount", "serviceaccounts", True),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True),
    ("apps", "v1", "Deployment", "deployments", True),
    ("batch", "v1", "Job", "jobs", True),
    ("batch", "v1", "CronJob", "cronjobs", True),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True),
    ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", True),
    ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors", True),
    ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules", True),
]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Kinds that no schema of Kubernetes itself knows.
CUSTOM = {"ScaledObject", "PodMonitor", "PrometheusRule"}
#: What cannot be changed, by kind: paths into the object.
#: https://kubernetes.io/docs/concepts/workloads/ says so of each.
IMMUTABLE = {
    "Job": [("spec", "template"), ("spec", "selector"), ("spec", "completions")],
    "Deployment": [("spec", "selector")],
    "PersistentVolumeClaim": [
        ("spec", "accessModes"), ("spec", "storageClassName"), ("spec", "volumeName"),
    ],
    "Service": [("spec", "clusterIP")],
}  # fmt: skip


def at(found: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; None if nothing does."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


class Api:
    """What has been applied, by address."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.applied: list[tuple[str, str]] = []

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Answers a look."""
        if path == "/version":
            return 200, {"major": "1", "minor": "31", "gitVersion": "v1.31.0"}
        if path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            groups = {}
            for group, version, *_ in KINDS:
                if group:
                    known = {"groupVersion": f"{group}/{version}", "version": version}
                    groups[group] = {
                        "name": group, "versions": [known], "preferredVersion": known,
                    }  # fmt: skip
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*groups.values()]}
        for group, version, *_ in KINDS:
            if path in {f"/apis/{group}/{version}", f"/api/{version}"}:
                return 200, self._resources("" if path.startswith("/api/") else group, version)
        if path in self.objects:
            return 200, self.objects[path]
        return 404, _status(404, "NotFound", f"{path} not found")

    def _resources(self, group: str, version: str) -> dict[str, Any]:
        return {
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": [
                {"name": plural, "singularName": kind.lower(), "kind": kind,
                 "namespaced": namespaced, "verbs": ["create", "get", "list", "patch", "delete"]}
                for g, v, kind, plural, namespaced in KINDS
                if (g, v) == (group, version)
            ],
        }  # fmt: skip

    def put(self, path: str, new: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Takes an object, or says why not."""
        kind, name = new["kind"], new["metadata"]["name"]
        if kind not in CUSTOM:
            try:
                kubernetes_validate.validate(new, "1.31", strict=True)
            except kubernetes_validate.ValidationError as error:
                return 422, _status(422, "Invalid", f"{kind} {name}: {error.message}")
        namespace = new["metadata"].get("namespace")
        if namespace and f"/api/v1/namespaces/{namespace}" not in self.objects:
            return 404, _status(404, "NotFound", f'namespaces "{namespace}" not found')
        old = self.objects.get(path)
        for field in IMMUTABLE.get(kind, []) if old else []:
            if at(old, field) is not None and at(old, field) != at(new, field):
                said = f"{kind} {name}: {'.'.join(field)}: field is immutable"
                return 422, _status(422, "Invalid", said)
        new["metadata"].setdefault("uid", path)
        self.objects[path] = new
        self.applied.append((kind, name))
        return (200 if old else 201), new


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": message}  # fmt: skip


@contextmanager
def kubernetes_api() -> Iterator[tuple[Api, str]]:
    """Serves it; yields what has been applied, and the address."""
    api, lock = Api(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def _answer(self, code: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer(*api.get(urlsplit(self.path).path))

        def _body(self) -> dict[str, Any]:
            found: dict[str, Any] = yaml.safe_load(
                self.rfile.read(int(self.headers["Content-Length"]))
            )
            return found

        def do_POST(self) -> None:
            new = self._body()
            with lock:
                path = f"{urlsplit(self.path).path}/{new['metadata']['name']}"
                self._answer(*api.put(path, new))

        def do_PATCH(self) -> None:
            new, path = self._body(), urlsplit(self.path).path
            if "apply-patch" not in self.headers["Content-Type"]:
                # A difference, which carries the whole of what was applied if that is another.
                whole = at(new, ("metadata", "annotations", LAST_APPLIED))
                if whole is None:
                    self._answer(*api.get(path))
                    return
                new = json.loads(whole)
                new["metadata"].setdefault("annotations", {})[LAST_APPLIED] = whole
            with lock:
                self._answer(*api.put(path, new))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
