"""Endpoint pickers outside, when the options ask for them: nothing of them is loaded before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mitmproxy import optmanager

from ..proxy.dataplane import Dataplane
from ..routing.compiling import CompileOptions
from ..routing.table import Rule
from ..snapshot import distinct_destinations
from ..telemetry.samples import Sample

if TYPE_CHECKING:
    from ..sources.endpoint_picker.asking import PickerClient

__all__ = ["EndpointPickers", "compile_options"]


def compile_options(options: optmanager.OptManager) -> CompileOptions:
    """Return how manifests from files are compiled."""
    return CompileOptions(external_pickers=options.gateway_endpoint_picker == "external")


class EndpointPickers:
    """Gives the data plane somebody who asks pickers, as long as the configuration has some."""

    def __init__(self, plane: Dataplane) -> None:
        self._plane = plane
        self._client: PickerClient | None = None

    def adopt(self, rules: Iterable[Rule], options: optmanager.OptManager) -> None:
        """Follow a configuration: what belongs to pickers that left is closed."""
        pickers = {destination.picker for destination in distinct_destinations(rules) if destination.picker is not None}
        if pickers and self._client is None:
            from ..proxy.carrying.consulting import Pickers
            from ..sources.endpoint_picker.asking import PickerClient

            self._client = PickerClient(float(options.gateway_endpoint_picker_timeout))
            self._plane.pickers = Pickers(self._client)
        if self._client is not None:
            self._client.timeout = float(options.gateway_endpoint_picker_timeout)
            self._client.keep({str(address) for picker in pickers for address in picker.addresses})

    def samples(self) -> Iterable[Sample]:
        if self._client is None:
            return
        for (picker, result), count in self._client.results.items():
            labels = {"picker": picker, "result": result}
            yield Sample("mirrorgate_endpoint_picker_requests_total", count, labels)
        for picker, count in self._client.cut.items():
            yield Sample("mirrorgate_endpoint_picker_answers_cut_total", count, {"picker": picker})

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
