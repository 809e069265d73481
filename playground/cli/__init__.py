"""``python -m playground`` and ``playground``: the app, scoring of tables, measurements, models, cards.

Every command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

import playground
from playground.cli import (
    evaluate,
    finetune,
    lens,
    look,
    mistakes,
    ner,
    nli,
    pet,
    pretrain,
    race,
    score,
    search,
    tune,
)
from playground.cli.parts import say
from playground.errors import PlaygroundError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_PIPE = 141  # 128 + SIGPIPE

_UNDER_TUNE = ("pet", "race", "mistakes")

_EXAMPLES = """\
examples:
  playground                                    open the app
  playground score reviews.csv --prompt sentiment -o scored.csv
  playground cards                              prompts that come with it
  playground bench                              how fast it is on this machine
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for what a user can mend, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(_with_command(arguments))
        options.command(options)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse has said what is wrong, or shown its help
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except PlaygroundError as error:
        say(" ".join(str(error).split()))
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        return EXIT_PIPE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        say(f"Standard output cannot be written ({error.strerror}).")
        return EXIT_ERROR
    finally:
        _settle_stdout()
    return 0


def _settle_stdout() -> None:
    """Flush standard output, or let go of what it does not take, before Python tries on exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_command(arguments: list[str]) -> list[str]:
    """Return the arguments with ``run`` in front where no command is named; and the commands under tune by their own."""
    if not arguments:
        return ["run"]
    if arguments[0] == "tune" and arguments[1:2] and arguments[1] in _UNDER_TUNE:
        return arguments[1:]
    if arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version"):
        return ["run", *arguments]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="playground",
        description="Prompt learning with a masked language model: open the app, or score a table.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=playground.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    look.add_run(commands)
    score.add(commands)
    evaluate.add(commands)
    search.add(commands)
    tune.add(commands)
    pet.add(commands)
    race.add(commands)
    mistakes.add(commands)
    ner.add(commands)
    nli.add(commands)
    finetune.add(commands)
    pretrain.add(commands)
    lens.add(commands)
    look.add(commands)
    return parser
