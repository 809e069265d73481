"""What a model is called where it leaves the page: a tuned one never by its name, which is a key."""

from __future__ import annotations

from playground.app.markup import notice
from playground.app.registry import Registry

DELTA_FILE = "delta.safetensors"  # as Train's Download calls what was tuned


def named(registry: Registry, model: str) -> str:
    """Return the model's name for a link or a program, that of its base for a tuned one.

    Empty for the default model. Raises PlaygroundError for a tuned one that is gone.
    """
    base = base_of(registry, model)
    return "" if base == registry.settings.model else base


def base_of(registry: Registry, model: str) -> str:
    """Return the model itself, or the one that a tuned model changes."""
    name = registry.tuned.base(model) if registry.tuned.is_tuned(model) else model
    return (name or "").strip() or registry.settings.model


def shown_name(registry: Registry, model: str) -> str:
    """Return what people call the model, for a table or a file."""
    if not registry.tuned.is_tuned(model):
        return base_of(registry, model)
    return f"{base_of(registry, model)} ({registry.tuned.title(model)})"


def tuned_file(registry: Registry, model: str) -> str | None:
    """Return the file that a program opens a tuned model from, None for any other model."""
    return DELTA_FILE if registry.tuned.is_tuned(model) else None


def link_notice(registry: Registry, *models: str) -> str:
    """Return what is said of a link to some models: a tuned one cannot be in it."""
    said = "The link is copied and in the address bar."
    bases = [base_of(registry, model) for model in models if registry.tuned.is_tuned(model)]
    if bases:
        said += f" It opens {bases[0]} itself: what you tuned stays on this page; Train downloads it as a file."
    return notice(said)
