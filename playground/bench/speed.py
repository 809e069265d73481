"""``bench speed``: one prompt, many texts and edits, against what people use today."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from playground.bench.baselines import Baselines
from playground.bench.entities import entity_speed
from playground.bench.report import Cell, Report, Table, circumstances
from playground.bench.scale import cost_of_rows
from playground.bench.sentences import long_texts, sentences, short_texts
from playground.bench.timing import Contestant, Times, in_turn, one_thread
from playground.engine import Prompting
from playground.engine.encoding import collate
from playground.prompts import AGGREGATIONS, Prompt, Verbalizer

SHORT, LONG = 1_000, 200
LIVE_ROUNDS, EDIT_ROUNDS, BATCH_ROUNDS = 40, 60, 3
_NEW_WORDS = (
    *("nice", "fine", "lovely", "amazing", "brilliant", "perfect", "pleasant", "charming", "happy"),
    *(
        "bad",
        "sad",
        "terrible",
        "dull",
        "cold",
        "slow",
        "cheap",
        "strange",
        "ugly",
        "dirty",
        "angry",
    ),
)

_EXACT, _ROUNDED = "playground, fp32", "playground, bf16"
_PIPELINE, _TWICE = "fill-mask pipeline, targets", "fill-mask pipeline, targets + top 10"
_TUTORIAL = "tutorial's code"


def measure_speed(*, model: str | None = None, say: Callable[[str], None]) -> Report:
    """Measure all that ``bench speed`` prints, on the CPU, in a few minutes."""
    with one_thread():
        say("loading the model: fp32, bf16, and a plain copy for the baselines")
        race = _Race(model)
        say("one prompt, live")
        tables = [race.one_prompt()]
        say("edits")
        tables.append(race.edits())
        say(f"{SHORT:,} short texts (the pipeline takes its time)")
        tables.append(race.many(f"{SHORT:,} short texts", race.short, SHORT))
        say(f"{LONG} long texts")
        tables.append(race.many(f"{LONG} long texts", race.long, 20))
        say("entities: all spans of a sentence")
        tables.append(entity_speed(race.exact))
        subject = race.exact.backbone.describe()
    say("cost against rows, each number in its own process")
    tables.append(cost_of_rows(model))
    facts = circumstances() | {"timing": "CPU time, one torch thread, medians of paired rounds"}
    return Report("speed", subject, tuple(tables), facts)


class _Race:
    """The contestants and their texts."""

    def __init__(self, model: str | None) -> None:
        self.prompt = Prompt.load("sentiment")
        self.exact = Prompting(model, device="cpu", dtype="float32")
        self.rounded = Prompting(model, device="cpu", dtype="bfloat16")
        self.plain = Baselines(self.exact, self.prompt)
        self.short = short_texts(SHORT)
        self.long = long_texts(LONG, self._fits)

    def one_prompt(self) -> Table:
        """Time a fresh text on the live path, its prior cached, against calls that tell as much."""
        texts = _fresh(seed=1)
        filled = self.plain.fill
        now: dict[str, str] = {}
        found: dict[str, list[np.ndarray]] = {name: [] for name in (_EXACT, _ROUNDED, _PIPELINE)}

        def live(prompting: Prompting, name: str) -> Contestant:
            def run(turn: int) -> None:
                explained = prompting.explain(now["text"], self.prompt, top_k=10)
                found[name].append(explained.uncalibrated)

            return Contestant(run)

        def next_text(turn: int) -> None:
            now["text"] = next(texts)
            now["filled"] = filled(now["text"])

        def targets(turn: int) -> None:
            found[_PIPELINE].append(self.plain.pipeline_targets([now["filled"]])[0])

        def twice(turn: int) -> None:
            self.plain.pipeline_targets([now["filled"]])
            self.plain.pipeline_top(now["filled"])

        times = in_turn(
            {
                _EXACT: live(self.exact, _EXACT),
                _ROUNDED: live(self.rounded, _ROUNDED),
                _PIPELINE: Contestant(targets),
                _TWICE: Contestant(twice),
                _TUTORIAL: Contestant(lambda turn: self.plain.tutorial(now["filled"])),
            },
            rounds=LIVE_ROUNDS,
            before=next_text,
        )
        labels = {name: np.stack(rows) for name, rows in found.items()}
        table = self._ways(
            "One prompt, live: labels, prior and top 10 of a fresh text",
            times,
            labels,
            [text for text, _ in zip(_fresh(seed=1), range(20), strict=False)],
        )
        return replace(
            table, notes=(*table.notes, "The prior is cached, as it is while one types.")
        )

    def many(self, title: str, texts: Sequence[str], pipeline_texts: int) -> Table:
        """Time the batch path over all texts, the pipeline over some of them, the tutorial's over few."""
        some, few = list(texts[:pipeline_texts]), list(texts[: min(25, pipeline_texts)])
        filled = [self.plain.fill(text) for text in some]
        found: dict[str, np.ndarray] = {}

        def batch(prompting: Prompting, name: str) -> Contestant:
            def run(turn: int) -> None:
                scores = prompting.classify(texts, self.prompt, words=False)
                found[name] = scores.probabilities[: len(some)]

            return Contestant(run, len(texts))

        def pipeline(turn: int) -> None:
            found[_PIPELINE] = self.plain.pipeline_targets(filled)

        def tutorial(turn: int) -> None:
            for prompt in filled[: len(few)]:
                self.plain.tutorial(prompt)

        self.plain.pipeline_targets(filled[:3])
        times = in_turn(
            {
                _EXACT: batch(self.exact, _EXACT),
                _ROUNDED: batch(self.rounded, _ROUNDED),
                _PIPELINE: Contestant(pipeline, len(some)),
                _TUTORIAL: Contestant(tutorial, len(few)),
            },
            rounds=BATCH_ROUNDS,
            warm_up=0,
        )
        lengths = self.exact.classify(texts, self.prompt, words=False).tokens
        table = self._ways(f"{title}, {lengths.mean():.0f} tokens on average", times, found, few)
        counted = (
            f"The pipeline ran on {len(some):,} of them and the tutorial's code on {len(few)}."
        )
        return replace(table, notes=(*table.notes, counted))

    def edits(self) -> Table:
        """Time edits of a prompt while the text stays, against a forward pass of that prompt."""
        text = self.short[0]
        encoder, backbone = self.exact.backbone.encoder, self.exact.backbone
        encoded = encoder.encode_one(self.prompt.template.render(text))
        batch = collate([encoded], [0], encoder.pad_id, encoder.uses_type_ids, backbone.device)
        filled = self.plain.fill(text)
        self.exact.explain(text, self.prompt)
        edits = {
            "label words": self._other_words,
            "weights": self._other_weights,
            "aggregation": self._other_aggregation,
            "calibration": self._other_calibration,
        }
        before = self.exact.runner.prompts_run
        edited: dict[str, Prompt] = {}

        def edit_all(turn: int) -> None:
            edited.update({name: edit(turn) for name, edit in edits.items()})

        contestants = {
            name: Contestant(lambda turn, name=name: self.exact.explain(text, edited[name]))
            for name in edits
        }
        full, ours = "a plain forward pass", "our forward pass, mask only"
        contestants[full] = Contestant(lambda turn: self.plain.forward(filled))
        contestants[ours] = Contestant(lambda turn: backbone.forward(batch))
        times = in_turn(contestants, rounds=EDIT_ROUNDS, warm_up=3, before=edit_all)
        run = self.exact.runner.prompts_run - before
        rows: list[tuple[Cell, ...]] = [
            (f"edit of {name}", times.median(name) * 1e3, 1 / times.ratio(full, name),
             1 / times.ratio(ours, name), run)
            for name in edits
        ]  # fmt: skip
        rows += [(name, times.median(name) * 1e3, None, None, None) for name in (full, ours)]
        columns = {
            "": "",
            "ms": ".2f",
            "of a plain pass": ".0%",
            "of our pass": ".0%",
            "prompts run": "d",
        }
        return Table(
            "Edits, live: all of the view is computed anew, the text stays", columns, tuple(rows)
        )

    def _ways(
        self, title: str, times: Times, labels: Mapping[str, np.ndarray], few: Sequence[str]
    ) -> Table:
        """Return a row for each way, with its speed against the baselines and its exactness."""
        summed = replace(self.prompt, scoring=replace(self.prompt.scoring, aggregation="logit_sum"))
        reference = self.exact.classify(list(few), summed, words=False).probabilities
        copied = np.stack([self.plain.tutorial(self.plain.fill(text)) for text in few])
        rows: list[tuple[Cell, ...]] = []
        for name in times.seconds:
            row: list[Cell] = [name, times.median(name) * 1e3]
            row += [
                times.ratio(other, name)
                for other in (_PIPELINE, _TWICE, _TUTORIAL)
                if other in times.seconds
            ]
            if name in (_EXACT, _ROUNDED):
                difference, agreement = _compare(labels[name], labels[_PIPELINE])
                row += [difference, agreement]
            elif name == _TUTORIAL:
                row += [*_compare(copied, reference)]
            else:
                row += [None, None]
            rows.append(tuple(row))
        twice = {"than two calls": ".1f"} if _TWICE in times.seconds else {}
        columns = {"": "", "ms a text": ".2f", "times as fast as pipeline": ".1f", **twice,
                   "than tutorial": ".1f", "max |Δp|": ".0e", "same label": ".1%"}  # fmt: skip
        notes = (
            "max |Δp| and same label: against the pipeline; the tutorial's code against logit_sum.",
        )
        return Table(title, columns, tuple(rows), notes)

    def _fits(self, text: str) -> bool:
        segments = self.prompt.template.render(text)
        return self.exact.backbone.encoder.encode_one(segments).dropped == 0

    # ---- edits: another one each round ------------------------------------------------------------

    def _other_words(self, turn: int) -> Prompt:
        words = self.prompt.verbalizer.words
        known = [w for w in _NEW_WORDS if w not in {word.text for word in words}]
        single = [w.text for w in self.exact.vocabulary.encode_words(known) if w.single]
        labels = dict(self.prompt.verbalizer.labels)
        first = self.prompt.verbalizer.names[0]
        labels[first] = (*labels[first][: 1 + turn % 3], single[turn % len(single)])  # type: ignore[assignment]
        return replace(self.prompt, verbalizer=Verbalizer(labels))

    def _other_weights(self, turn: int) -> Prompt:
        labels = {
            label: [(word.text, 1 + 0.01 * (turn + k)) for k, word in enumerate(words)]
            for label, words in self.prompt.verbalizer.labels.items()
        }
        return replace(self.prompt, verbalizer=Verbalizer(labels))  # type: ignore[arg-type]

    def _other_aggregation(self, turn: int) -> Prompt:
        return self._scored(aggregation=list(AGGREGATIONS)[turn % len(AGGREGATIONS)])

    def _other_calibration(self, turn: int) -> Prompt:
        return self._scored(calibration=("none", "contextual", "domain")[turn % 3])

    def _scored(self, **choices: str) -> Prompt:
        return replace(self.prompt, scoring=replace(self.prompt.scoring, **choices))  # type: ignore[arg-type]


def _fresh(seed: int) -> Iterator[str]:
    return sentences(seed)


def _compare(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the largest difference and the share of rows with the same best label, (N, C) each."""
    same = found.argmax(1) == expected.argmax(1)
    return float(np.abs(found - expected).max()), float(same.mean())
