"""Namespace (core/v1): its labels, which a listener's `allowedRoutes` may select."""

from __future__ import annotations

from typing import ClassVar

from .objects import LooseResource

__all__ = ["Namespace"]


class Namespace(LooseResource):
    cluster_scoped: ClassVar[bool] = True

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, with the one that the API server adds (`kubernetes.io/metadata.name`)."""
        return {"kubernetes.io/metadata.name": self.metadata.name, **self.metadata.labels}
