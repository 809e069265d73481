"""Where verbalizers, models and examples lie: the checkout, or the data folder of a wheel."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from playground.errors import PlaygroundError, shorten

_PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    packed = _PACKAGE / "_resources"  # made by the wheel build, absent in a checkout
    return packed if packed.is_dir() else _PACKAGE.parent


def verbalizers_dir() -> Path:
    """Return the folder of prompt cards."""
    return _root() / "verbalizers"


def models_dir() -> Path:
    """Return the folder of shipped models."""
    return _root() / "assets" / "models"


def shipped_models(architecture: str = "") -> dict[str, Path]:
    """Return the shipped models by name: all, or those whose architecture ends in ``architecture``."""
    folder = models_dir()
    if not folder.is_dir():
        return {}
    found = {path.parent.name: path for path in sorted(folder.glob("*/config.json"))}
    return {
        name: path.parent
        for name, path in found.items()
        if _architecture(path).endswith(architecture)
    }


def _architecture(config: Path) -> str:
    """Return what a model's config.json says it is, such as BertForMaskedLM."""
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
        return str((data.get("architectures") or [""])[0])
    except (OSError, ValueError, AttributeError):
        return ""  # a damaged model is told when it is opened


def card_names(kind: str = "") -> list[str]:
    """Return the names of the shipped prompt cards, sorted: those of one mask, or of ``kind`` "rules"."""
    return sorted(path.stem for path in (verbalizers_dir() / kind).glob("*.json"))


def card_path(name: str, kind: str = "") -> Path:
    """Return the file of a shipped card; ``name`` must be one of :func:`card_names`."""
    if name not in card_names(kind):
        raise PlaygroundError(
            f"There is no prompt card {shorten(name)}; the cards are {', '.join(card_names(kind))}."
        )
    return verbalizers_dir() / kind / f"{name}.json"


def example_names() -> list[str]:
    """Return the names of the shipped sample sets, sorted."""
    folder = _root() / "assets" / "examples"
    return sorted(path.stem for path in folder.iterdir() if path.suffix in {".csv", ".jsonl"})


def probes_path() -> Path:
    """Return the sentences, each with one [MASK], that are asked while a model is pretrained."""
    return _root() / "assets" / "examples" / "probes.txt"


def load_examples(name: str) -> list[dict]:
    """Return the rows of a shipped sample set: reviews, headlines, names, nli, questions or relations."""
    if name not in example_names():
        raise PlaygroundError(
            f"There is no sample set {shorten(name)}; the sets are {', '.join(example_names())}."
        )
    folder = _root() / "assets" / "examples"
    table = folder / f"{name}.csv"
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def lexicon_names() -> list[str]:
    """Return the names of the shipped lexicons, sorted."""
    return _stored("lexicons")


def lexicon_path(name: str) -> Path:
    """Return the file of a shipped lexicon; ``name`` must be one of :func:`lexicon_names`."""
    return _one_stored("lexicons", name, f"no lexicon {shorten(name)}; the lexicons are")


def race_names() -> list[str]:
    """Return the names of the stored races of the shipped model, sorted."""
    return _stored("races")


def race_path(name: str) -> Path:
    """Return the file of a stored race; ``name`` must be one of :func:`race_names`."""
    return _one_stored("races", name, f"no stored race {shorten(name)}; the races are")


def _stored(folder: str) -> list[str]:
    return sorted(path.stem for path in (_root() / "assets" / folder).glob("*.json"))


def _one_stored(folder: str, name: str, missing: str) -> Path:
    names = _stored(folder)
    if name not in names:
        raise PlaygroundError(f"There is {missing} {', '.join(names) or 'none'}.")
    return _root() / "assets" / folder / f"{name}.json"
