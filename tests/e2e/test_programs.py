"""The programs that carry the gateway: `mirrorgate run`, mitmdump and mitmweb, from their start to their end."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.gateways import CHAT, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.received import Ending
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import PROJECT, Process, ProcessError, free_port, gateway_command

pytestmark = pytest.mark.e2e


def configured(folder: Path, *servers: FakeModelServer) -> tuple[Path, int]:
    """Write a configuration of one route, `chat.test`, and return it with its listener's port."""
    port = free_port()
    config = folder / "gateway.yaml"
    objects = [backend("servers", *(server.port for server in servers)), http_route("chat", reference("servers"))]
    write_manifests(config, [*gateway(port), *objects])
    return config, port


@pytest.mark.parametrize("program", ["mirrorgate", "mitmdump", "mitmweb"])
async def test_each_program_serves_and_ends(program: str, tmp_path: Path) -> None:
    """It gets ready, answers, and ends with 0 on SIGTERM, its listener closed."""
    options = {"web_port": str(free_port()), "web_open_browser": "false"} if program == "mitmweb" else {}
    async with FakeModelServer() as server:
        config, port = configured(tmp_path, server)
        async with running_gateway(config, port, program=program, options=options) as running:
            assert (await running.chat("chat.test")).status == 200
            assert (await running.chat("other.test")).status == 404
            running.process.signal(signal.SIGTERM)
            assert await running.process.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(port)
    assert not [line for line in running.process.output if "Traceback" in line]


async def test_mitmdump_without_n_where_8080_is_free(tmp_path: Path) -> None:
    """mitmproxy binds its default port before a script can speak; the listener is the Gateway's all the same."""
    if not _free(8080):
        pytest.skip("8080 is taken on this machine")
    async with FakeModelServer() as server:
        config, port = configured(tmp_path, server)
        admin_port = free_port()
        command = [word for word in gateway_command(config, admin_port, program="mitmdump") if word != "-n"]
        async with Process(command) as process:
            await process.printed("gateway listening at")
            async with await Client.connect(port) as client:
                answer = await client.request("GET", "/v1/models", [("host", "chat.test")])
            assert answer.status == 200
            # The default proxy, which nobody asked for, is gone.
            assert _free(8080)


async def test_a_busy_port_at_the_start_ends_it(tmp_path: Path) -> None:
    """Exit code 1, and the port and the reason in the log."""
    async with FakeModelServer() as server:
        config, port = configured(tmp_path, server)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            for program in ("mirrorgate", "mitmdump"):
                async with Process(gateway_command(config, free_port(), program=program)) as process:
                    assert await process.wait(20.0) == 1
                (line,) = [line for line in process.output if "cannot bind" in line]
                assert str(port) in line
                assert "in use" in line
                assert "gateway_port_offset" in line
                assert "Traceback" not in process.text


async def test_a_bad_configuration_at_the_start_ends_it(tmp_path: Path) -> None:
    """Exit code 1, every problem with its place, nothing served."""
    config, _ = configured(tmp_path)
    config.write_text(config.read_text().replace('"backendRefs"', '"backendRef"'))
    async with Process(gateway_command(config, free_port())) as process:
        assert await process.wait(20.0) == 1
    assert "gateway.yaml:" in process.text
    assert "backendRefs" in process.text, "the nearest name is suggested"
    assert "Traceback" not in process.text


async def test_a_missing_configuration_at_the_start_ends_it(tmp_path: Path) -> None:
    """A wrong path is not a wish to serve nothing."""
    async with Process(gateway_command(tmp_path / "nowhere", free_port())) as process:
        with pytest.raises(ProcessError):
            await process.ready(free_port())
        assert process.returncode == 1
    assert "does not exist" in process.text


async def test_sigterm_lets_a_stream_end(tmp_path: Path) -> None:
    """New clients are turned away, /ready says draining, the stream gets its last byte, and the exit code is 0."""
    async with FakeModelServer(Behaviour(answer="one two three")) as server:
        config, port = configured(tmp_path, server)
        async with running_gateway(config, port) as running, await running.connect() as client:
            await client.send(_stream_request("hang_mid_stream; after=3"))
            await server.until(lambda: server.hanging == 1)
            running.process.signal(signal.SIGTERM)

            async def draining() -> bool:
                return (await running.admin.get("/ready")).status == 503

            await running.admin.until(draining, "/ready does not say that it drains")
            with pytest.raises(ConnectionRefusedError):
                await Client.connect(port)
            server.release()
            assert (await client.answer("POST")).events()[-1] == "[DONE]"
            assert await running.process.wait() == 0
    assert server.requests[0].ending is Ending.COMPLETE


async def test_sigterm_cuts_what_does_not_end(tmp_path: Path) -> None:
    """After `gateway_drain_timeout` it ends all the same, and says so."""
    async with FakeModelServer() as server:
        config, port = configured(tmp_path, server)
        options = {"gateway_drain_timeout": "1"}
        async with running_gateway(config, port, options=options) as running, await running.connect() as client:
            await client.send(_stream_request("hang_mid_stream; after=3"))
            await server.until(lambda: server.hanging == 1)
            running.process.signal(signal.SIGTERM)
            assert await running.process.wait() == 0
    assert "requests were still running after 1 s and are cut" in running.process.text


async def test_a_touched_script_keeps_serving(tmp_path: Path) -> None:
    """mitmproxy imports a touched script anew; no request under way is lost, and limits and routes stay."""
    addons = tmp_path / "addons"
    addons.mkdir()
    script = Path(shutil.copy(PROJECT / "addons" / "gateway.py", addons))
    (addons / "mirrorgate").symlink_to(PROJECT / "addons" / "mirrorgate")
    async with FakeModelServer(Behaviour(answer="one two three")) as server:
        config, port = configured(tmp_path, server)
        admin_port = free_port()
        command = gateway_command(config, admin_port, program="mitmdump")
        command[command.index("-s") + 1] = str(script)
        async with Process(command) as process:
            await process.printed("gateway listening at")
            await process.ready(admin_port)
            async with await Client.connect(port) as client:
                await client.send(_stream_request("hang_mid_stream; after=3"))
                await server.until(lambda: server.hanging == 1)
                _touch(script)
                await process.printed("imported anew")
                async with await Client.connect(port) as other:
                    assert (await other.request("GET", "/v1/models", [("host", "chat.test")])).status == 200
                server.release()
                assert (await client.answer("POST")).events()[-1] == "[DONE]"
                assert (await client.request("GET", "/v1/models", [("host", "chat.test")])).status == 200
            await process.ready(admin_port)
    assert process.returncode == 0
    assert "Traceback" not in process.text


async def test_flows_are_saved_and_read_by_mitmproxy(tmp_path: Path) -> None:
    """`--set save_stream_file` works as in mitmproxy, and an unmodified mitmdump reads the file."""
    saved = tmp_path / "flows.mitm"
    async with FakeModelServer() as server:
        config, port = configured(tmp_path, server)
        async with running_gateway(config, port, options={"save_stream_file": str(saved)}) as running:
            assert (await running.chat("chat.test")).status == 200
            assert (await running.chat("chat.test", stream=True)).status == 200
    launch = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    command = [sys.executable, "-c", launch, "-n", "-r", str(saved), "--set", "flow_detail=1"]
    async with Process(command) as process:
        await process.wait(20.0)
    assert process.text.count("POST http") == 2


def _stream_request(fault: str) -> bytes:
    return request_bytes("POST", CHAT, [("host", "chat.test"), ("x-fake-fault", fault)], chat_body(stream=True))


def _touch(script: Path) -> None:
    """Change a script so that it tells when it is imported."""
    script.write_text(script.read_text() + "print('imported anew')\n")


def _free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
