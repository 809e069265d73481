"""``playground run``, ``bench``, ``models`` and ``cards``: the app, and what can be looked at."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from playground import resources
from playground.cli.parts import add_command, check_folders, count, json_text, say
from playground.prompts import load_prompt

_RUN = """\
examples:
  playground run
  playground run --host 0.0.0.0 --port 8000     for a class network
  playground run --model bert-base-uncased
"""
_BENCH = """\
examples:
  playground bench                              speed, against what people use today
  playground bench quality --data DIR --rows 1000
  playground bench nli                          training and classifying pairs
  playground bench pretrain                     a step of masked-LM training
  playground bench app                          needs playwright and chromium
  playground bench load                         50 people who type for a minute
"""
_MODELS = """\
examples:
  playground models                             models that come with it
  playground models bert-base-uncased           load one and say what it is
"""
_CARDS = """\
examples:
  playground cards
  playground cards sentiment > my_card.json
"""


def add_run(commands: Any) -> None:
    """Add ``run``."""
    run = add_command(commands, "run", _run, "open the app (the default)", _RUN)
    run.add_argument("--host", help="address to listen on (127.0.0.1; 0.0.0.0 for a network)")
    run.add_argument("--port", type=int, help="port to listen on (7860, or the next free one)")
    run.add_argument("--model", help="model that opens first: a shipped name, a hub id or a folder")
    run.add_argument("--share", action="store_true", help="make a public link through Gradio")
    run.add_argument("--open", action="store_true", help="open it in the browser")


def add(commands: Any) -> None:
    """Add ``bench``, ``models`` and ``cards``."""
    bench = add_command(
        commands,
        "bench",
        _bench,
        "measure speed, quality, NLI, pretraining, the app or a class in it",
        _BENCH,
    )
    bench.add_argument(
        "what",
        nargs="?",
        choices=("speed", "quality", "nli", "pretrain", "app", "load"),
        default="speed",
    )
    bench.add_argument("--data", metavar="DIR", help="quality: folder of labelled sets")
    bench.add_argument("--rows", type=count, metavar="N", help="quality: at most N rows of a set")
    bench.add_argument(
        "--texts", nargs="+", metavar="FILE", default=[], help="quality: plain texts, words hidden"
    )
    bench.add_argument("--json", metavar="FILE", help="write the numbers there too")
    bench.add_argument("--model", help="a shipped name, a hub id or a folder")

    models = add_command(
        commands, "models", _models, "list the models, or load one and describe it", _MODELS
    )
    models.add_argument("name", nargs="?", help="a shipped name, a hub id or a folder")

    cards = add_command(
        commands, "cards", _cards, "list the prompt cards, or print one as JSON", _CARDS
    )
    cards.add_argument("name", nargs="?", help="a shipped card or a file")


def _run(options: argparse.Namespace) -> None:
    from playground.app import launch

    launch(
        host=options.host,
        port=options.port,
        model=options.model,
        share=options.share,
        open_browser=options.open,
    )


def _bench(options: argparse.Namespace) -> None:
    from playground import bench

    check_folders(options.json)
    report = bench.measure(
        options.what,
        model=options.model,
        data=options.data,
        rows=options.rows,
        texts=options.texts,
        say=say,
    )
    print(report.to_text())
    if options.json:
        report.save(Path(options.json).expanduser())


def _models(options: argparse.Namespace) -> None:
    if options.name is None:
        for name, folder in resources.shipped_models().items():
            print(f"{name:24} {_model_line(folder)}")
        return
    from playground.engine import Prompting

    backbone = Prompting(options.name).backbone
    print(backbone.describe())
    print(f"revision  {backbone.revision}")
    print(f"savings   {', '.join(backbone.forward.savings) or 'none'}")
    print(f"packed    {backbone.packed} linear layers")
    for warning in backbone.warnings or ("none",):
        print(f"warnings  {warning}")


def _cards(options: argparse.Namespace) -> None:
    if options.name is not None:
        print(json_text(load_prompt(options.name).to_json(), indent=2))
        return
    for name in (*resources.card_names(), *resources.card_names("rules")):
        prompt = load_prompt(name)
        print(f"{name:18} {prompt.task:15} {', '.join(prompt.labels)}")


def _model_line(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    kind = (config.get("architectures") or [config.get("model_type", "model")])[0]
    return (
        f"{kind}, {config.get('num_hidden_layers')} layers of {config.get('hidden_size')}, "
        f"{config.get('max_position_embeddings')} positions, {size:.1f} MB"
    )
