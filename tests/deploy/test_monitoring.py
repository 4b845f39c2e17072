"""Alert rules, their own tests, and the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from regioncap.services.backlog import Depth
from tests.support.compose import ROOT, tool
from workers.exporter import Exporter, Gauges

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = ROOT / "deploy/grafana/dashboards/regioncap.json"


def _promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [tool("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def _dashboard_expressions() -> list[str]:
    return [
        target["expr"] for panel in _dashboard()["panels"] for target in panel.get("targets", [])
    ]


def _exported() -> set[str]:
    """Names of all metrics that a worker can export."""
    exporter = Exporter("caption")
    exporter.registry.register(
        Gauges(lambda: (0, 1), lambda: {"caption": Depth(0, 0, 0)}, lambda: 0, lambda: (0, 0, 1))
    )
    names = set()
    for metric in exporter.registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"],
                    "info": ["_info"]}.get(metric.type, [""])  # fmt: skip
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def test_alerts_fire_when_they_should() -> None:
    _promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert "SUCCESS" in _promtool("test", "rules", PROMETHEUS / "alerts_test.yml")


def test_every_alert_is_tested() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules}


def test_the_dashboard_asks_in_promql(tmp_path: Path) -> None:
    expressions = _dashboard_expressions()
    assert len(expressions) > 20
    rules = [{"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", file)


def test_panels_do_not_overlap() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    "text",
    [
        pytest.param((PROMETHEUS / "alerts.yml").read_text(), id="alerts"),
        pytest.param((PROMETHEUS / "alerts_test.yml").read_text(), id="tests of alerts"),
        pytest.param("\n".join(_dashboard_expressions()), id="dashboard"),
        *(
            pytest.param(path.read_text(), id=path.name)
            for path in sorted((ROOT / "deploy/kubernetes").rglob("*scaled*.yaml"))
        ),
    ],
)
def test_what_is_asked_for_is_exported(text: str) -> None:
    asked = set(re.findall(r"\bregioncap_[a-z_]+", text))
    assert asked
    assert asked <= _exported()
