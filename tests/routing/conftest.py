"""What the tests of routing share: from the text of manifests to a compiled table, and a question to it."""

from collections.abc import Callable

import pytest

from mirrorgate.errors import Severity
from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.loading import Document, load
from mirrorgate.routing.compiling import Compiled, CompileOptions, compile
from mirrorgate.routing.matching import Router
from mirrorgate.routing.paths import normalize

Ask = Callable[..., str]


def inventory_of(text: str) -> Inventory:
    loaded = load([Document("test.yaml", text)])
    assert [str(problem) for problem in loaded.problems if problem.severity is Severity.ERROR] == []
    return loaded.inventory


@pytest.fixture
def inventory() -> Callable[[str], Inventory]:
    """Return a function from manifests to their inventory."""
    return inventory_of


@pytest.fixture
def compiled() -> Callable[..., Compiled]:
    """Return a function from manifests to what they compile to."""

    def compile_text(text: str, options: CompileOptions | None = None) -> Compiled:
        return compile(inventory_of(text), options)

    return compile_text


@pytest.fixture
def asking() -> Callable[[Compiled], Ask]:
    """Return a function that makes a table answer requests: `status` or the name of the first backend."""

    def about(compiled: Compiled) -> Ask:
        router = Router(compiled.table)

        def ask(
            path: str = "/", host: str = "", method: str = "GET", headers: dict[str, str] | None = None, port: int = 80
        ) -> str:
            listener = router.select_listener(port, host)
            target = normalize(path)
            if listener is None or target is None:
                return "404" if target is not None else "400"
            fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
            match = router.match(listener, method, host, target, fields)
            if match is None:
                return "404"
            if match.rule.broken or match.rule.backends[0].destination is None:
                return "500"
            return match.rule.backends[0].destination.name

        return ask

    return about
