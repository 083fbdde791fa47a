"""A destination that is one server: `--to http://candidate:8000`."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..inference.requests import InferenceRequest
from ..records import Leg, Target
from ..resources.server_tls import ServerTls
from ..resources.shadow_policy import ShadowPolicySpec
from .aiming import UNBOUNDED, Aim, Rewrites, replayed_fields
from .captured import Captured, Skip

__all__ = ["UrlTarget"]


class UrlTarget:
    """Sends every request to one address, under the path that it was captured with."""

    def __init__(self, url: str, rewrites: Rewrites, policy: ShadowPolicySpec, encoded: bytes) -> None:
        """`url` may have a path, which goes in front; a final `/v1`, as base URLs have it, is none of it.

        Raises ValueError when it is no http or https URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url} has no valid port") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is no URL such as http://candidate:8000")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{url}: credentials go into a header, and a query does not belong here")
        self._tls = ServerTls() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = port or (443 if self._tls else 80)
        self._authority = parts.netloc
        self._prefix = parts.path.rstrip("/").removesuffix("/v1")
        self._rewrites = rewrites
        self._candidate = policy.candidate
        self._policy = encoded
        self.label = f"{parts.scheme}://{parts.netloc}{self._prefix}"

    def aims(self, entry: Captured, request: InferenceRequest | None, leg: Leg) -> list[Aim] | Skip:
        """Return the one leg."""
        fields, path = replayed_fields(entry, self._rewrites, leg, self._authority)
        model = self._rewrites.model(request)
        candidate = self._candidate
        return [
            Aim(
                Target(
                    leg=leg,
                    cluster=f"replay/{self._authority}{self._prefix}",
                    ref=self.label,
                    host=self._host,
                    port=self._port,
                    head=fields,
                    path=self._prefix + path,
                    model=model or candidate.model_name if leg is Leg.CANDIDATE else model,
                    timeout=candidate.timeout,
                    connect_timeout=candidate.connect_timeout,
                    idle_timeout=candidate.idle_timeout,
                    max_parallel=UNBOUNDED,
                    policy=self._policy,
                    tls=self._tls,
                )
            )
        ]

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return
