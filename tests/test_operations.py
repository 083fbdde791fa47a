"""The document for operators is complete: every alert and every field of the access log is in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from mirrorgate.events import ExchangeDone
from mirrorgate.telemetry.access_lines import line

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")


def test_every_alert_has_what_to_do() -> None:
    """And nothing is told of alerts that are none."""
    rules = yaml.safe_load((ROOT / "config/prometheus/alerts.yaml").read_text("utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert set(re.findall(r"^\| `(Mirrorgate\w+)` \|", TEXT, re.MULTILINE)) == alerts


def test_every_field_of_the_access_log_is_told_of() -> None:
    """By its name in the line."""
    done = ExchangeDone(
        id="", started=0.0, method="", path="", authority="", protocol="", status=200, flag="-", details="", refusal="",
        bytes_received=0, bytes_sent=0, duration=0.0, response_duration=None, queued=0.0, listener="", route="", rule=0,
        cluster="", pool="", endpoint="", model="", target_model="", request_id="", user_agent="", forwarded_for="",
        client="", streamed=False, ttft=None, itl=None, prompt_tokens=None, completion_tokens=None, mirrored=0,
    )  # fmt: skip
    assert [name for name in json.loads(line(done)) if f"`{name}`" not in TEXT] == []
