"""The tutorials' manifests for this machine: every file verbatim, but for the ports of the Pods."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from ..processes import PROJECT

__all__ = ["TUTORIALS", "Manifests", "chat_template"]

TUTORIALS = PROJECT / "config" / "seeds"
_TARGET_PORT = re.compile(r'(mirrorgate\.dev/target-port: ")(\d+)(")')


class Manifests:
    """A folder that the gateway reads, and that shows one tutorial at a time.

    The folder is a link that is swapped in one step, as a ConfigMap volume of Kubernetes is: a gateway that watches it
    sees one tutorial or the other and nothing between them.
    """

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        """`ports` maps each port that the manifests declare to the one that is served."""
        self.served = folder / "manifests"
        self._folder = folder
        for source in sorted(path for path in TUTORIALS.iterdir() if path.is_dir()):
            copy = folder / f".{source.name}"
            shutil.copytree(source, copy)
            pods = copy / "pods.yaml"
            pods.write_text(with_ports(pods.read_text(encoding="utf-8"), ports), encoding="utf-8")

    def show(self, tutorial: str) -> None:
        """Let the folder be this tutorial's."""
        fresh = self._folder / ".next"
        fresh.symlink_to(f".{tutorial}", target_is_directory=True)
        os.replace(fresh, self.served)

    def verbatim(self) -> list[str]:
        """Name the files that are the tutorial's own, unchanged."""
        return [path.name for path in sorted(self.served.iterdir()) if path.name != "pods.yaml"]


def with_ports(text: str, ports: Mapping[str, int]) -> str:
    """Replace the Pods' target ports and nothing else."""
    return _TARGET_PORT.sub(lambda found: f"{found[1]}{ports[found[2]]}{found[3]}", text)


def chat_template(tutorial: str) -> str:
    """Return the chat template that a tutorial mounts into its model servers."""
    documents = yaml.safe_load_all((TUTORIALS / tutorial / "inference_app.yaml").read_text(encoding="utf-8"))
    template = next(document["data"] for document in documents if document["kind"] == "ConfigMap")
    return str(template["llama-2-chat.jinja"])
