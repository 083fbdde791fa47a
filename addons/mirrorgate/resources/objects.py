"""What every Kubernetes object has: apiVersion, kind, metadata, and the place it was declared at."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from .places import Place
from .scalars import NAME_PATTERN, LabelValue, Timestamp
from .shapes import Items, Shape

__all__ = ["LabelSelector", "LabelSelectorRequirement", "LooseMeta", "LooseResource", "ObjectMeta", "Resource"]


class ObjectMeta(Shape):
    """The metadata of an object. The namespace is `default` when none is given, empty for cluster-scoped kinds."""

    name: str = Field(min_length=1, max_length=253, pattern=NAME_PATTERN)
    namespace: str = Field(default="default", max_length=63, pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")
    labels: dict[str, LabelValue] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    generation: int = 0
    creation_timestamp: Timestamp | None = None
    """`None` for an object from a file: the order of the files stands in for its age."""
    uid: str = ""
    resource_version: str = ""
    generate_name: str | None = None
    finalizers: Items[str] = ()
    deletion_timestamp: Timestamp | None = None
    deletion_grace_period_seconds: int | None = None
    owner_references: Items[dict[str, object]] = Field(default=(), repr=False)
    managed_fields: Items[dict[str, object]] = Field(default=(), repr=False)
    self_link: str | None = None


class LooseMeta(ObjectMeta):
    """The metadata of a kind that others write."""

    model_config = ConfigDict(extra="ignore")


class Resource(Shape):
    """An object as it was declared. Its place takes no part in equality; it cannot be hashed, its key can."""

    cluster_scoped: ClassVar[bool] = False

    api_version: str
    """As it was declared; shapes of other versions are converted to the one of the class."""
    kind: str
    metadata: ObjectMeta

    _place: Place = PrivateAttr(default=Place())

    @property
    def place(self) -> Place:
        """The file and line that declare the object."""
        return self._place

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name; the namespace is empty for cluster-scoped kinds."""
        return (self.metadata.namespace, self.metadata.name)

    @property
    def title(self) -> str:
        """Such as `HTTPRoute default/mirror-route` or `GatewayClass example`."""
        namespace, name = self.key
        return f"{self.kind} {namespace}/{name}" if namespace else f"{self.kind} {name}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def placed(self, place: Place) -> None:
        """Remember where the object stands; for whoever parsed it."""
        self._place = place


class LooseResource(Resource):
    """An object of a kind that others write: fields that we do not read are ignored."""

    model_config = ConfigDict(extra="ignore")

    metadata: LooseMeta


class LabelSelectorRequirement(Shape):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Items[str] = ()


class LabelSelector(Shape):
    """A selector of metav1: labels and expressions, all of which must hold."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: Items[LabelSelectorRequirement] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Tell whether labels satisfy the selector; an empty one selects everything."""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_holds(requirement, labels) for requirement in self.match_expressions)


def _holds(requirement: LabelSelectorRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case _:  # DoesNotExist
            return value is None
