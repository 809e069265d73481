"""Every limit and switch as one table: name, default, help, and its ``PLAYGROUND_*`` override."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

from playground.errors import PlaygroundError, shorten

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}
_WELL_KNOWN = (
    "distilbert/distilbert-base-uncased",
    "google-bert/bert-base-uncased",
    "FacebookAI/roberta-base",
    "FacebookAI/xlm-roberta-base",
    "answerdotai/ModernBERT-base",
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_READ = ("PLAYGROUND_", "SPACE_ID")


def _row(
    default: str | int | bool,
    help: str,
    minimum: int | None = None,
    maximum: int | None = None,
):
    return field(default=default, metadata={"help": help, "range": (minimum, maximum)})


@dataclass(frozen=True)
class Settings:
    """The settings of one process. ``Settings.from_environment()`` reads the overrides."""

    model: str = _row(
        "playground-mini", "Model that opens first: a shipped name, a hub id or a folder."
    )
    models: str = _row(
        "",
        "Comma-separated models offered in the picker beside the default one; "
        "in hosted mode no other can be loaded.",
    )
    nli_model: str = _row(
        "playground-mini-snli",
        "Classifier of the NLI tab: a shipped name, a hub id or a folder.",
    )
    nli_models: str = _row(
        "", "Comma-separated classifiers offered in the NLI tab beside the default one."
    )
    datasets: str = _row(
        "",
        "Comma-separated hub data sets that the Eval tab of a hosted app opens; otherwise any opens.",
    )
    hosted: bool = _row(
        False, "Strangers reach the app: only listed models load. On by itself on a Space."
    )
    device: str = _row("auto", "cpu, cuda, cuda:1, mps, or auto (CUDA, then MPS, then CPU).")
    dtype: str = _row(
        "float32",
        "float32 (exact), bfloat16, or auto (bfloat16 where it is faster and the labels agree).",
    )
    threads: int = _row(0, "Torch CPU threads; 0 leaves one core to the web server.", 0)
    batch_tokens: int = _row(1000, "Tokens in one batch of the batch path on a CPU.", 1)
    window_rows: int = _row(2048, "Rows held in memory and sorted by length while streaming.", 1)
    cache_mb: int = _row(64, "Memory for cached mask distributions of the live path, MiB.", 0)
    model_slots: int = _row(2, "Models kept loaded at once; the least recently used goes first.", 1)
    max_text_chars: int = _row(20_000, "Longest text accepted for one prompt, in characters.", 1)
    max_template_chars: int = _row(2_000, "Longest template, in characters.", 1)
    max_labels: int = _row(64, "Most labels in one verbalizer.", 2)
    max_label_words: int = _row(512, "Most label words in one verbalizer.", 2)
    max_split_pieces: int = _row(
        64, "Most pieces that all label words of several pieces have together; each costs a run.", 1
    )
    max_table_rows: int = _row(
        5_000,
        "Most rows of a table that the page opens; twenty times as many where nobody but this machine "
        "reaches it.",
        1,
    )
    max_table_mb: int = _row(
        4, "Largest table that the page opens, MiB; sixteen times as much on one's own machine.", 1
    )
    max_lens_tokens: int = _row(
        128, "Most tokens of a text whose layers and attention are looked into.", 1
    )
    max_spans: int = _row(
        2_000,
        "Most candidate spans of one text in entity typing; each piece of a label word that splits counts as "
        "much again.",
        1,
    )
    max_prior_texts: int = _row(200, "Most unlabelled texts used for a calibration prior.", 1)
    max_tune_steps: int = _row(
        200, "Most steps of a training in the Train tab; ten times as many on one's own machine.", 1
    )
    max_tune_shots: int = _row(
        32, "Most rows of a label that Train tunes on; ten times as many on one's own machine.", 1
    )
    max_tune_seeds: int = _row(
        5, "Most seeds of one training in Train; ten times as many on one's own machine.", 1
    )
    max_tuned_file_mb: int = _row(
        64, "Largest file of a tuned prompt that Train opens or hands out, MiB.", 1
    )
    tuned_mb: int = _row(256, "Memory for what all visitors have tuned, MiB.", 1)
    tuned_each: int = _row(4, "Tuned models that one page keeps; its oldest goes first.", 1)
    tuned_slots: int = _row(2, "Tuned models that are open at once.", 1)
    tuned_minutes: int = _row(60, "Minutes without use after which a tuned model is forgotten.", 1)
    max_link_chars: int = _row(16_000, "Longest prompt link that is written or opened.", 100)
    concurrency: int = _row(2, "Requests that score at the same time.", 1)
    queue_size: int = _row(64, "Requests that may wait; the next one is told that it is busy.", 1)
    host: str = _row("127.0.0.1", "Address the app listens on; 0.0.0.0 for a class network.")
    port: int = _row(
        7860, "Port the app listens on; the next free one is taken if it is in use.", 1, 65_535
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Return the defaults with each ``PLAYGROUND_<NAME>`` of ``environ`` applied.

        Raises PlaygroundError for a value that is not of the setting's kind.
        """
        env = os.environ if environ is None else environ
        values: dict[str, str | int | bool] = {}
        if env.get("SPACE_ID"):
            values |= {"hosted": True, "host": "0.0.0.0"}
        for row in fields(cls):
            name = override_name(row.name)
            raw = env.get(name)
            if raw is None or (isinstance(row.default, str) and not raw.strip()):
                continue  # a text that is set to nothing is not set
            values[row.name] = _parse(name, raw, row.default, row.metadata["range"])
        return cls(**values)  # type: ignore[arg-type]

    def with_model(self, model: str) -> Settings:
        """Return these settings with another model that opens first."""
        return replace(self, model=model)

    @property
    def alone(self) -> bool:
        """Whether nobody but this machine reaches the app."""
        return not self.hosted and self.host in _LOOPBACK

    @property
    def table_caps(self) -> tuple[int, int]:
        """The most rows and bytes of a table that the page opens; lifted for a visitor of one's own."""
        rows, size = self.max_table_rows, self.max_table_mb << 20
        return (rows * 20, size * 16) if self.alone else (rows, size)

    @property
    def tune_caps(self) -> tuple[int, int, int]:
        """The most steps, shots of a label and seeds of a training in the page; lifted as tables are."""
        lifted = 10 if self.alone else 1
        return (
            self.max_tune_steps * lifted,
            self.max_tune_shots * lifted,
            self.max_tune_seeds * lifted,
        )

    @property
    def model_choices(self) -> tuple[str, ...]:
        """What the picker offers: ``model_names``, and on one's own machine well-known hub models."""
        return tuple(dict.fromkeys([*self.model_names, *(() if self.hosted else _WELL_KNOWN)]))

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models in the picker, the default one first, each once."""
        return _listed(self.model, self.models)

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """The hub data sets that a hosted app opens, each once."""
        return tuple(
            dict.fromkeys(filter(None, (name.strip() for name in self.datasets.split(","))))
        )

    @property
    def nli_model_names(self) -> tuple[str, ...]:
        """The classifiers in the NLI tab's picker, the default one first, each once."""
        return _listed(self.nli_model, self.nli_models)


def _listed(first: str, others: str) -> tuple[str, ...]:
    names = [name.strip() for name in others.split(",")]
    return tuple(dict.fromkeys([first, *filter(None, names)]))


def override_name(setting: str) -> str:
    """Return the environment variable that overrides ``setting``."""
    return f"PLAYGROUND_{setting.upper()}"


def _parse(
    name: str, raw: str, default: object, limits: tuple[int | None, int | None]
) -> str | int | bool:
    value = raw.strip()
    if isinstance(default, bool):
        if value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        raise PlaygroundError(f"{name} is {shorten(raw)}; set it to 1 or 0.")
    if isinstance(default, int):
        try:
            number = int(value)
        except ValueError:
            raise PlaygroundError(f"{name} is {shorten(raw)}; set it to a whole number.") from None
        minimum, maximum = limits
        if minimum is not None and number < minimum:
            raise PlaygroundError(f"{name} is {number}; the least is {minimum}.")
        if maximum is not None and number > maximum:
            raise PlaygroundError(f"{name} is {number}; the most is {maximum}.")
        return number
    return value


def settings() -> Settings:
    """Return the settings of this process, as its environment says now."""
    found = {key: os.environ[key] for key in os.environ if key.startswith(_READ)}
    return _known(frozenset(found.items()))


@lru_cache(maxsize=8)
def _known(environ: frozenset[tuple[str, str]]) -> Settings:
    return Settings.from_environment(dict(environ))
