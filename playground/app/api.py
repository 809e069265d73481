"""The public endpoints: what the tabs do, as JSON for programs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import gradio as gr

from playground import resources
from playground.app.compare_view import Side, scores_json
from playground.app.registry import Registry
from playground.app.tabs.classify import default_prompt
from playground.app.tabs.ner import CARD, NerInputs, card_text
from playground.app.tabs.nli import one_pair
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer
from playground.tasks.entities import THRESHOLD, decode
from playground.tasks.entities.export import entities_json

_DEFAULT = default_prompt()
_MOST_PREDICTIONS = 100
_MOST_PROMPTS = 4
_MOST_WORDS, _MOST_MARGIN = 10, 100
NER_TYPES, NER_TEMPLATES = card_text(Prompt.load(CARD))


def add_endpoints(registry: Registry) -> None:
    """Add ``/classify``, ``/fill``, ``/ner``, ``/compare``, ``/nli``, ``/layers``, ``/attention``, ``/cards`` and ``/models`` to the Blocks."""

    def classify(
        text: str,
        template: str = _DEFAULT.template.source,
        label_words: str = _DEFAULT.verbalizer.to_text(),
        second_text: str = "",
        aggregation: str = "mean",
        calibration: str = "contextual",
        model: str = "",
    ) -> dict[str, Any]:
        """Score a text with a cloze template and label words, without any training.

        label_words has a label a line, "positive: great, good*0.5". second_text fills the second slot
        of a template with two. Returns label, scores by label, prior by label, words (each with
        label, probability, rank and pieces), mass, prompt, tokens and dropped.
        """
        _require_text(text=text, label_words=label_words, second_text=second_text, model=model)
        prompt = Prompt(
            Template(template),
            Verbalizer.from_text(label_words),
            ScoringOptions(aggregation=aggregation, calibration=calibration),
        )
        row = _row(prompt, (text, second_text))
        found = registry.get(model).explain(row, prompt)
        return {
            "label": found.prediction,
            "scores": dict(zip(found.labels, found.probabilities.tolist(), strict=True)),
            "prior": dict(zip(found.labels, found.prior.tolist(), strict=True)),
            "words": [
                {
                    "word": word.text,
                    "label": word.label,
                    "probability": math.exp(word.log_prob),
                    "rank": word.rank,
                    "pieces": list(word.pieces),
                }
                for word in found.words
            ],
            "mass": found.mass,
            "prompt": prompt.template.fill(row),
            "tokens": found.tokens,
            "dropped": found.dropped,
        }

    def fill(text: str, top_k: int = 5, model: str = "") -> list[dict[str, Any]]:
        """Predict the word at the first mask of a text.

        Write the mask as {mask} or [MASK]. Returns the top_k best tokens, best first, each with
        token, logit and probability over the whole vocabulary.
        """
        _require_text(text=text, model=model)
        _require_whole("top_k", top_k, _MOST_PREDICTIONS)
        return [
            {"token": f.token, "logit": f.logit, "probability": f.probability}
            for f in registry.get(model).fill(text, top_k=top_k)
        ]

    def nli(premise: str, hypothesis: str, model: str = "") -> dict[str, Any]:
        """Say whether a hypothesis follows from a premise, with the fine-tuned classifier.

        Returns label (entailment, neutral or contradiction), scores by label, calibrated with the
        classifier's temperature, tokens and dropped. model names another classifier.
        """
        _require_text(premise=premise, hypothesis=hypothesis, model=model)
        found = one_pair(registry, model, premise, hypothesis)
        return {
            "label": found.predictions[0],
            "scores": dict(zip(found.labels, found.probabilities[0].tolist(), strict=True)),
            "tokens": int(found.tokens[0]),
            "dropped": int(found.dropped[0]),
        }

    def ner(
        text: str,
        types: str = NER_TYPES,
        templates: str = NER_TEMPLATES,
        candidates: str = "names",
        most_words: int = 4,
        prior: str = "contextual",
        threshold: float = THRESHOLD,
        decoding: str = "greedy",
        nested: bool = False,
        spans: list[list[int]] | None = None,
        model: str = "",
    ) -> list[dict[str, Any]]:
        """Find and type the entities of a text, zero-shot.

        types are written a line each, as label words are (person: man, woman), and templates a line
        each, averaged. spans are candidates of your own, [start, end] each. Returns a list of entities: start and end (code points), label, text, margin over
        none in nats, and probability.
        """
        _require_text(text=text, types=types, templates=templates, candidates=candidates, prior=prior,
                      decoding=decoding, model=model)  # fmt: skip
        _require_whole("most_words", most_words, _MOST_WORDS)
        if type(threshold) not in (int, float) or not abs(threshold) <= _MOST_MARGIN:
            raise PlaygroundError(
                f"threshold is {shorten(threshold)}; it must be a number from -{_MOST_MARGIN} to {_MOST_MARGIN}."
            )
        if type(nested) is not bool:
            raise PlaygroundError(f"nested is {shorten(nested)}; it must be true or false.")
        if spans is not None and not isinstance(spans, list):
            raise PlaygroundError(f"spans is {shorten(spans)}; it must be a list of [start, end].")
        chosen = NerInputs(model, text, types, templates, candidates, most_words, prior)
        typed = chosen.typed(registry) if spans is None else chosen.typed_spans(registry, spans)
        return entities_json(decode(typed, threshold=threshold, decoding=decoding, nested=nested))

    def compare(
        text: str,
        prompts: list[dict[str, str]],
        second_text: str = "",
    ) -> list[dict[str, Any]]:
        """Score one text with up to 4 prompts, side by side.

        prompts is a list of objects, each with template and label_words as /classify takes them, and
        if wanted name, aggregation, calibration and model. Returns one object a prompt: name, label,
        scores by label, prior by label, mass, prompt, model, tokens and dropped.
        """
        _require_text(text=text, second_text=second_text)
        sides = [
            _side(registry, one, place, (text, second_text))
            for place, one in enumerate(_listed(prompts))
        ]
        return scores_json(sides, (text, second_text))

    def layers(text: str, top_k: int = 5, model: str = "") -> dict[str, Any]:
        """Predict the word at the one mask of a text from the state after each layer.

        Returns tokens, winner (the last layer's best token) and layers, the embeddings (layer 0) first,
        each with top (token, logit, probability), winner_probability and winner_rank. The last layer's
        top is what /fill gives.
        """
        _require_text(text=text, model=model)
        _require_whole("top_k", top_k, _MOST_PREDICTIONS)
        return registry.get(model).layers(text, top_k=top_k).to_json()

    def attention(text: str, layer: int = 1, head: int = 1, model: str = "") -> dict[str, Any]:
        """Return where each token of a text looks in one attention head; layers and heads count from 1.

        Returns tokens, weights (a row a token, which adds up to 1), entropy (bits, averaged over the
        tokens), layer, head, and how many layers and heads there are. The text may hold masks.
        """
        _require_text(text=text, model=model)
        found = registry.get(model).attention(text)
        _require_whole("layer", layer, found.layers)
        _require_whole("head", head, found.heads)
        return found.to_json(layer, head)

    def cards() -> list[dict[str, Any]]:
        """Return the shipped prompt cards: templates, label words, examples and sources."""
        return [Prompt.load(resources.card_path(name)).to_json() for name in resources.card_names()]

    def models() -> list[str]:
        """Return the names of the models that this app offers, the default one first."""
        return list(registry.settings.model_names)

    for endpoint in (classify, fill, ner, compare, nli, layers, attention, cards, models):
        gr.api(
            _told(endpoint),
            api_name=endpoint.__name__,
            concurrency_id="model",
            concurrency_limit=registry.settings.concurrency,
        )


def _row(prompt: Prompt, texts: tuple[str, str]) -> dict[str, str]:
    fields = prompt.template.fields
    if len(fields) > 2:
        raise PlaygroundError(f"The template takes {len(fields)} texts; this endpoint takes two.")
    return dict(zip(fields, texts, strict=False))


def _listed(prompts: Any) -> list[dict[str, Any]]:
    if not isinstance(prompts, list) or not all(isinstance(one, dict) for one in prompts):
        raise PlaygroundError(
            f"prompts is {shorten(prompts)}; it must be a list of objects with template and label_words."
        )
    if not 1 <= len(prompts) <= _MOST_PROMPTS:
        raise PlaygroundError(
            f"There are {len(prompts):,} prompts; give from 1 to {_MOST_PROMPTS}."
        )
    return prompts


def _side(registry: Registry, one: dict[str, Any], place: int, texts: tuple[str, str]) -> Side:
    known = {"name": f"prompt {place + 1}", "template": "", "label_words": "", "aggregation": "mean",
             "calibration": "contextual", "model": ""}  # fmt: skip
    if unknown := [key for key in one if key not in known]:
        raise PlaygroundError(
            f"A prompt has the unknown key {shorten(unknown[0])}; it takes {', '.join(known)}."
        )
    chosen = known | one
    _require_text(**chosen)
    prompt = Prompt(
        Template(chosen["template"]),
        Verbalizer.from_text(chosen["label_words"]),
        ScoringOptions(aggregation=chosen["aggregation"], calibration=chosen["calibration"]),
    )
    found = registry.get(chosen["model"]).explain(_row(prompt, texts), prompt)
    return Side(chosen["name"], prompt, chosen["model"] or registry.settings.model, found)


def _require_text(**values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, str):
            raise PlaygroundError(f"{name} is {shorten(value)}; it must be text.")


def _require_whole(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise PlaygroundError(
            f"{name} is {shorten(value)}; it must be a whole number from 1 to {most}."
        )


def _told(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return the endpoint with user errors as ``gr.Error``, which carries its sentence to the client."""

    @functools.wraps(endpoint)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return endpoint(*args, **kwargs)
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return guarded
