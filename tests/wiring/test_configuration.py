"""What is read when options change, and whether somebody has to follow it anew."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from mitmproxy.test import taddons

from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.gateways import write_manifests
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import gateway
from mirrorgate.wiring.addon import Gateway
from mirrorgate.wiring.configuration import Configuration


class Serving:
    """A gateway that runs, and fails to take one configuration."""

    def __init__(self, bad: int = -1) -> None:
        self.bad = bad
        self.served: list[int] = []

    def adopt(self, snapshot: Snapshot) -> None:
        if snapshot.generation == self.bad:
            raise RuntimeError("can't start new thread")
        self.served.append(snapshot.generation)

    def listen(self, snapshot: Snapshot) -> None:
        pass

    def refused(self, problems: int) -> None:
        pass


async def test_a_cluster_that_is_followed_is_not_followed_twice() -> None:
    """An option that is set to what it was leaves one set of watches and one candidate for the lease; files are read
    anew."""
    with taddons.context(Gateway(), loadcore=False) as context:
        configuration = Configuration(random.Random(1))
        assert configuration.read(), "the quickstart's files"
        assert configuration.read()
        cluster = Configuration(random.Random(1))
        context.options.update(gateway_config=["kubernetes"])
        assert cluster.read()
        cluster.server = Serving()
        assert not cluster.read()
        context.options.update(gateway_port_offset=1)
        with pytest.raises(ValueError, match="cannot change"):
            cluster.read()


async def test_a_configuration_that_fails_to_take_effect_keeps_no_other_away(tmp_path: Path) -> None:
    """What a bug or a want of threads does to one change, the next change does not pay for."""
    path = tmp_path / "gateway.yaml"
    with taddons.context(Gateway(), loadcore=False) as context:
        context.options.update(gateway_config=[str(path)])
        configuration = Configuration(random.Random(1))
        write_manifests(path, gateway(8080))
        configuration.read()
        serving = configuration.server = Serving(bad=2)
        following = asyncio.create_task(configuration.follow())
        try:
            write_manifests(path, gateway(8081))
            await until(lambda: configuration.snapshot.generation == 2)
            write_manifests(path, gateway(8082))
            await until(lambda: serving.served == [3])
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
