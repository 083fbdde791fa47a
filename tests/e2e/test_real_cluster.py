"""The gateway on a real cluster: `scripts/test --cluster`, with a KUBECONFIG that may create namespaces.

Needs kubectl, and the CRDs of the Gateway API, of Envoy Gateway's Backend and of `config/kubernetes/crds`.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
from typing import Any

import pytest

from mirrorgate.testing.admin_client import AdminClient
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import CHAT, chat_body
from mirrorgate.testing.manifests import Object, as_yaml, backend, gateway, http_route, reference
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port, gateway_command

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]


async def kubectl(*words: str, given: str = "") -> str:
    """Run kubectl, and return what it prints. Raises CalledProcessError."""
    command = ["kubectl", *words]
    done = await asyncio.to_thread(subprocess.run, command, input=given, capture_output=True, text=True, check=True)
    return str(done.stdout)


async def conditions(kind: str, name: str, namespace: str) -> dict[str, str]:
    """Return the conditions of an object by type."""
    found: Any = json.loads(await kubectl("get", kind, name, "-n", namespace, "-o", "json"))
    status = found.get("status", {})
    entries = [status, *status.get("parents", [])]
    return {each["type"]: each["status"] for entry in entries for each in entry.get("conditions", [])}


async def test_a_real_cluster_is_served() -> None:
    """Routes of a namespace of its own serve, their statuses are written, and a change takes effect."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("needs KUBECONFIG")
    name, port, admin_port = f"mirrorgate-test-{secrets.token_hex(4)}", free_port(), free_port()
    controller = f"mirrorgate.dev/{name}"
    async with FakeModelServer() as server:
        objects: list[Object] = [*gateway(port), backend("model", server.port), http_route("chat", reference("model"))]
        objects[0]["metadata"]["name"] = objects[1]["spec"]["gatewayClassName"] = name
        objects[0]["spec"]["controllerName"] = controller
        for each in objects[1:]:
            each["metadata"]["namespace"] = name
        await kubectl("create", "namespace", name)
        try:
            await kubectl("apply", "-f", "-", given=as_yaml(objects))
            options = {
                "gateway_namespaces": name,
                "gateway_controller_name": controller,
                "gateway_lease": f"{name}/leader",
            }
            async with Process(gateway_command("kubernetes", admin_port, options=options)) as process:
                await process.ready(admin_port, timeout=60)
                async with await Client.connect(port) as client:
                    answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body())
                    assert answer.status == 200
                admin = AdminClient(admin_port, timeout=30)

                async def written() -> bool:
                    found = await conditions("httproutes.gateway.networking.k8s.io", "chat", name)
                    return found.get("Accepted") == "True"

                await admin.until(written, lambda: process.text)
        finally:
            await kubectl("delete", "namespace", name, "--wait=false")
            await kubectl("delete", "gatewayclass", name, "--ignore-not-found")
