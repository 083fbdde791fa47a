"""What is read when options change, and whether somebody has to follow it anew."""

from __future__ import annotations

import random

import pytest
from mitmproxy.test import taddons

from mirrorgate.snapshot import Snapshot
from mirrorgate.wiring.addon import Gateway
from mirrorgate.wiring.configuration import Configuration


class Serving:
    """A gateway that runs."""

    def adopt(self, snapshot: Snapshot) -> None:
        pass

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
