"""A component that a recipe, an evaluation or a command uses: found by name, configured with checked options, built and checked.

`choose` and `Chosen.build` are the only way from a name to a component. Torch-free until built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twm_core.config import ComponentConfig, validate_config
from twm_core.errors import PluginError
from twm_core.kinds import KINDS
from twm_core.plugin.references import load_reference
from twm_core.plugin.registry import Registered, Registry


@dataclass(frozen=True)
class Chosen:
    """A component with its config.

    Attributes:
        name: The name by which it was chosen, or the one that `shown_name` gives.
        registered: The component and its plugin.
        config: Its validated config.
    """

    name: str
    registered: Registered
    config: ComponentConfig

    @property
    def whose(self) -> str:
        """Kind, name, distribution and version."""
        return self.registered.whose

    @property
    def fields(self) -> dict[str, Any]:
        """Qualified name and config, JSON-able."""
        return {"component": self.registered.qualified, "config": self.config.model_dump(mode="json")}

    def build(self, *given: Any) -> Any:
        """Build the component.

        Args:
            given: What `build` of this kind takes after the config: nothing for readers, renderers and simulators.

        Raises:
            PluginError: `build` returned something that is not of the kind's interface.
        """
        built = self.registered.load_build()(self.config, *given)
        reference = KINDS[self.registered.component.kind].interface
        interface = load_reference(reference)
        if not isinstance(built, interface):
            raise PluginError(f"{self.whose}: build returned {type(built).__name__}, not a {interface.__name__}", f"return a {reference}")
        return built


def configure(
    registered: Registered,
    options: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    prefix: str | None = None,
    origin: Callable[[str], str] | None = None,
) -> Chosen:
    """A registered component with these options.

    Args:
        registered: The component.
        options: Fields of its config.
        name: The name by which it was chosen; its own by default.
        prefix: See `twm_core.config.validate_config`; `KIND.NAME.` by default.
        origin: See `twm_core.config.validate_config`.

    Raises:
        UsageError: It has no such field, or a value is not allowed.
    """
    name = registered.component.name if name is None else name
    prefix = f"{registered.component.kind}.{name}." if prefix is None else prefix
    config = validate_config(registered.load_config(), options or {}, prefix=prefix, whose=registered.whose, origin=origin)
    return Chosen(name, registered, config)


def choose(registry: Registry, kind: str, name: str, options: Mapping[str, Any] | None = None, *, own: str | None = None) -> Chosen:
    """The component of this kind and name, with these options; its name is that of `shown_name`.

    Args:
        registry: Installed components.
        kind: Their kind.
        name: Bare or qualified.
        options: Fields of its config.
        own: See `Registry.find`.

    Raises:
        UsageError: It has no such field, or a value is not allowed.
        UnknownComponentError: It is not installed.
    """
    registered = registry.find(kind, name, own=own)
    chosen = configure(registered, options, prefix=f"{kind}.{name}.")
    return Chosen(shown_name(registry, registered, own), registered, chosen.config)


def shown_name(registry: Registry, registered: Registered, own: str | None = None) -> str:
    """The bare name of a component where it means this one, else the qualified name.

    Args:
        registry: Installed components.
        registered: The component.
        own: See `Registry.find`.
    """
    kind, bare = registered.component.kind, registered.component.name
    meant = not registry.shared(kind, bare) or (own is not None and registry.find(kind, bare, own=own) == registered)
    return bare if meant else registered.qualified
