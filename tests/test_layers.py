"""Data flows one way: the imports of every module are read from its source and held to its layer."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "playground"

_HEAVY = ("torch", "transformers", "gradio")
_ABOVE_PROMPTS = (
    *("playground.engine", "playground.tasks", "playground.app", "playground.cli"),
    *("playground.Prompting", "playground.Scores"),  # the engine, by its short name
)
FORBIDDEN = {
    "errors": (*_HEAVY, *_ABOVE_PROMPTS, "playground.prompts"),
    "settings": (*_HEAVY, *_ABOVE_PROMPTS, "playground.prompts"),
    "resources": (*_HEAVY, *_ABOVE_PROMPTS, "playground.prompts"),
    "prompts": (*_HEAVY, *_ABOVE_PROMPTS),
    "engine": ("gradio", "playground.tasks", "playground.app", "playground.cli"),
    "tasks": ("gradio", "playground.app", "playground.cli"),
    "bench": ("gradio", "playground.app", "playground.cli"),
    "app": ("torch", "transformers", "playground.cli"),
    "cli": ("torch", "transformers", "gradio"),
}


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: str, package: str) -> set[str]:
    """Return the full names that a module of ``package`` imports anywhere, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("__import__", "import_module", "importlib.import_module"):
                found.add(str(node.args[0].value))
    return found


def crossings(names: set[str], forbidden: tuple[str, ...]) -> list[str]:
    return sorted(n for n in names if any(n == f or n.startswith(f"{f}.") for f in forbidden))


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if layer(path) in FORBIDDEN]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_nothing_above_its_layer(path):
    package = ".".join(path.relative_to(ROOT).parent.parts)
    found = imports(path.read_text(encoding="utf-8"), package)
    assert crossings(found, FORBIDDEN[layer(path)]) == []


def test_one_module_alone_imports_ray():
    found = {
        path.name
        for path in MODULES
        if crossings(imports(path.read_text(encoding="utf-8"), "playground"), ("ray",))
    }
    assert found == {"ray_engine.py"}


def test_every_folder_of_the_package_is_a_layer():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/*.py")}
    assert {"prompts", "engine"} <= folders <= set(FORBIDDEN)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch.nn as nn", {"torch.nn"}),
        ("from torch import nn, Tensor", {"torch.nn", "torch.Tensor"}),
        ("def f():\n    import gradio", {"gradio"}),
        ("if TYPE_CHECKING:\n    from playground.engine import Prompting", {"playground.engine.Prompting"}),
        ("from playground import Prompting", {"playground.Prompting"}),
        ("from . import link", {"playground.prompts.link"}),
        ("from ..engine.backbone import Backbone", {"playground.engine.backbone.Backbone"}),
        ("importlib.import_module('torch')", {"torch"}),
        ("__import__('torch')", {"torch"}),
    ],
)  # fmt: skip
def test_imports_are_found_wherever_they_stand(source, found):
    assert imports(source, "playground.prompts") == found


@pytest.mark.parametrize(
    ("name", "crosses"),
    [("torch", True), ("torch.nn", True), ("torchlight", False), ("playground.engine", False)],
)
def test_a_crossing_is_a_whole_name(name, crosses):
    assert crossings({name}, ("torch",)) == ([name] if crosses else [])


@pytest.mark.parametrize("name", ["playground", "playground.prompts"])
def test_importing_prompts_loads_neither_torch_nor_gradio(name):
    program = f"import sys, {name}; print(sorted({{'torch', 'transformers', 'gradio'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
