"""The Train tab's own functions: what its boxes may hold, what is planned, run, kept and written down."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import math
import shlex
from dataclasses import replace

import pytest
import torch

from playground import PlaygroundError, resources
from playground.app.registry import Registry
from playground.app.session import Halt, Inputs
from playground.app.tabs.classify import default_prompt, input_values, scored_by_head
from playground.app.tabs.evaluate import from_file, guessed, sample
from playground.app.tabs.measure import OPEN_ROWS
from playground.app.tabs.train import trained
from playground.app.tabs.train_plan import (
    METHODS_SAID,
    NOTHING,
    TYPED,
    Choices,
    plan_of,
    program,
    soft_remark,
)
from playground.app.tabs.trained import Kept, asked_of, download_bytes, keep, titled
from playground.app.tabs.trained import from_file as opened
from playground.cli import main
from playground.engine.tuning.files import delta_bytes
from playground.engine.tuning.recipe import METHODS
from playground.prompts import load_prompt
from playground.settings import Settings
from playground.tasks.tuning.watched import Watched
from tests.app.elements import texts

INPUTS = Inputs("", *input_values(default_prompt(), ("I like it.",)))
SMALL = "text,label\n" + "".join(
    f'"{row["text"].replace(chr(34), chr(34) * 2)}",{row["label"]}\n'
    for row in resources.load_examples("reviews")[:40]
)
LINES = "\n".join(
    f"{label}: A {label} film {k}." for k in range(4) for label in ("positive", "negative")
)


def choices(**changes: object) -> Choices:
    reviews = sample("reviews")
    values = {
        "source": "reviews", "typed": LINES, "measured_on": NOTHING, "method": "linear", "shots": 4,
        "steps": 6, "seeds": 1, "seed": 0, "batch": 4, "rate": None, "patience": 0,
        "opened": reviews, "first": "text", "second": None, "label": "label", "mapping": "",
    }  # fmt: skip
    return Choices(**(values | changes))


def few(**changes: object) -> Choices:
    """Few rows, so that a training here is short: forty, of which twenty-four are held out."""
    return choices(**({"source": OPEN_ROWS, "opened": from_file(SMALL, 100), "steps": 2} | changes))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Settings(tuned_each=1_000))  # all tests here are one visitor


@pytest.fixture(scope="module")
def strangers() -> Registry:
    """What a visitor of a hosted app meets."""
    return Registry(Settings(hosted=True))


def run(registry, chosen, inputs=INPUTS, halt=None) -> list:
    async def collect():
        return [found async for found in trained(registry, chosen, inputs, halt or Halt(), "me")]

    return asyncio.run(collect())


# ---- what may be asked for ------------------------------------------------------------------------


def test_every_method_has_a_plain_sentence():
    assert list(METHODS_SAID) == list(METHODS)
    assert all(said.endswith(".") for said in METHODS_SAID.values())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 201}, "Steps is 201; it must be a whole number from 1 to 200."),
        ({"steps": 0}, "Steps is 0; it must be a whole number from 1 to 200."),
        ({"steps": 1.5}, "Steps is 1.5; it must be a whole number from 1 to 200."),
        ({"steps": None}, "Steps is empty; it must be a whole number from 1 to 200."),
        ({"steps": "9"}, 'Steps is "9"; it must be a whole number from 1 to 200.'),
        ({"steps": True}, "Steps is True; it must be a whole number from 1 to 200."),
        ({"steps": math.inf}, "Steps is inf; it must be a whole number from 1 to 200."),
        ({"steps": math.nan}, "Steps is nan; it must be a whole number from 1 to 200."),
        ({"steps": [5]}, 'Steps is "[5]"; it must be a whole number from 1 to 200.'),
        ({"shots": 33}, "Shots is 33; it must be a whole number from 1 to 32."),
        ({"seeds": 6}, "Seeds is 6; it must be a whole number from 1 to 5."),
        ({"seed": -1}, "The first seed is -1; it must be a whole number from 0 to 2,147,483,648."),
        ({"batch": 10**9}, "Rows in a step is 1000000000; it must be a whole number from 1 to 256."),
        ({"patience": -2}, "Early stopping is -2; it must be a whole number from 0 to 1,000."),
        ({"rate": -0.1}, "The learning rate is -0.1; it must be above 0 and at most 1, or 0 for the method's own."),
        ({"rate": math.nan}, "The learning rate is nan; it must be above 0 and at most 1, or 0 for the method's own."),
        ({"method": "pickle"}, 'There is no method "pickle"; choose one of whole, bias, lora, soft, linear, cls.'),
        ({"method": ["x"]}, 'There is no method "[\'x\']"; choose one of whole, bias, lora, soft, linear, cls.'),
        ({"source": "../etc"}, "There is no such sample set; open a file, or take one of the others."),
        ({"source": TYPED, "measured_on": "no"}, "There is no such sample set; open a file, or take one of the others."),
        ({"source": OPEN_ROWS, "opened": None}, "The rows are gone from the page's memory; open the table again."),
        ({"source": TYPED, "typed": "positive: x\n" * 33 + "negative: y"}, '33 rows are typed for the label "positive"; the most is 32.'),
        ({"source": TYPED, "typed": None}, 'No row is typed for the label "positive"; write at least one line for each of positive, negative.'),
        ({"source": TYPED, "typed": "x" * (4 << 20 | 1)}, "The typed rows have 4,194,305 characters; the most is 4,194,304."),
    ],
)  # fmt: skip
def test_whatever_a_client_sends_is_checked_here(strangers, change, sentence):
    with pytest.raises(PlaygroundError) as error:
        plan_of(strangers, choices(**change), INPUTS)
    assert str(error.value) == sentence


def test_no_learning_rate_is_the_methods_own(registry):
    plans = [plan_of(registry, choices(rate=rate), INPUTS) for rate in (None, 0, "", 0.003)]
    assert [plan.recipe.learning_rate for plan in plans] == [None, None, None, 0.003]


def test_on_ones_own_machine_trainings_may_be_longer(registry):
    plan = plan_of(registry, choices(steps=2_000, shots=20), INPUTS)
    assert (plan.recipe.steps, len(plan.draws[0].train)) == (2_000, 40)


def test_rows_are_drawn_as_the_command_draws_them(registry):
    plan = plan_of(registry, choices(seeds=2, seed=3), INPUTS)
    labelled = plan_of(registry, choices(source=OPEN_ROWS, seeds=2, seed=3), INPUTS)
    assert [d.train.rows for d in plan.draws] == [d.train.rows for d in labelled.draws]
    assert [d.seed for d in plan.draws] == [3, 4]
    assert len(plan.held_out) <= 200 - 2 * 16
    seen = {row["text"] for d in plan.draws for part in (d.train, d.dev) for row in part.rows}
    assert not seen & {row["text"] for row in plan.held_out.rows}


def test_the_rows_of_eval_keep_their_mapping(registry):
    content = "body,verdict\n" + "".join(f"A film {k}.,{k % 2}\n" for k in range(40))
    found = from_file(content, 100)
    first, second, label = guessed(found.columns)
    mapped = choices(
        source=OPEN_ROWS, opened=found, first=first, second=second, label=label,
        mapping="1 = positive\n0 = negative", shots=2,
    )  # fmt: skip
    plan = plan_of(registry, mapped, INPUTS)
    assert plan.held_out.labels == ("positive", "negative")
    with pytest.raises(PlaygroundError, match="none of the prompt's"):
        plan_of(registry, replace(mapped, mapping=""), INPUTS)


def test_typed_rows_are_measured_on_others_or_on_nothing(registry):
    plan = plan_of(registry, choices(source=TYPED), INPUTS)
    assert (plan.held_out, len(plan.draws[0].train), len(plan.draws[0].dev)) == (None, 6, 2)
    text = resources.load_examples("reviews")[0]["text"]
    lines = f"{LINES}\npositive: {text}"
    plan = plan_of(registry, choices(source=TYPED, typed=lines, measured_on="reviews"), INPUTS)
    assert len(plan.held_out) == 199


def test_a_template_without_soft_tokens_gets_some_and_that_is_said(registry):
    plan = plan_of(registry, choices(method="soft"), INPUTS)
    assert plan.prompt.template.source == "{soft:4} {text} It was {mask}."
    assert plan.before == INPUTS.prompt()
    assert soft_remark("soft", INPUTS).startswith(
        "The template has no soft tokens, so {soft:4} {text} It was {mask}. is tuned in its place; write {soft:4}"
    )
    own = replace(INPUTS, template="{text} {soft:2} it was {mask}.")
    assert plan_of(registry, choices(method="soft"), own).prompt.template.soft_tokens == 2
    assert plan_of(registry, choices(method="soft"), own).before is None
    assert soft_remark("soft", own) == soft_remark("lora", INPUTS) == ""


# ---- what runs, and what is kept -------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(registry):
    """A head and a prompt that were tuned, and all that was told on the way."""
    return {m: run(registry, few(method=m)) for m in ("linear", "bias")}


def test_at_its_end_a_training_is_kept_under_a_name_of_its_own(registry, done):
    *before, (html, kept) = done["linear"]
    assert isinstance(kept, Kept)
    assert registry.tuned.is_tuned(kept.name)
    assert kept.found.delta is None  # what a page remembers is numbers
    assert registry.tuned.title(kept.name) == "tuned: linear, 4 shots, seed 0"
    assert registry.tuned.base(kept.name) == "playground-mini"
    assert all(isinstance(now, Watched) and now.delta is None for _, now in before)
    assert "Done after step 2." in html
    assert texts(html, "pp-before-after")[0].startswith("Before tuning (calibration contextual)")


def test_the_bars_are_the_models(registry, done, prompting):
    kept = done["bias"][-1][1]
    before, after = asked_of(registry, kept.name, INPUTS)
    row = [{"text": "I like it."}]
    assert before.probabilities == pytest.approx(
        prompting.classify(row, INPUTS.prompt()).probabilities[0], abs=1e-5
    )
    delta = registry.tuned.delta(kept.name)
    assert after.probabilities == pytest.approx(
        prompting.tuned(delta).classify(row, delta.prompt).probabilities[0], abs=1e-5
    )
    assert asked_of(registry, kept.name, replace(INPUTS, template="no mask")) == ()
    assert asked_of(registry, "tuned:gone", INPUTS) == ()


def test_classify_shows_the_bars_of_a_head_with_a_remark(registry, done):
    kept = done["linear"][-1][1]
    result, details = scored_by_head(registry, replace(INPUTS, model=kept.name, calibration="none"))
    shares = registry.get(kept.name).classify(["I like it."], INPUTS.prompt()).probabilities[0]
    shown = [float(text.rstrip(" %")) / 100 for text in texts(result, "pp-number")]
    assert shown == pytest.approx(shares, abs=1e-3)
    assert (
        "None: this model was tuned with the method linear, which has a head of its own at the mask"
        in details
    )
    assert registry.status(kept.name)[0].endswith("· tuned: linear, 4 shots, seed 0")


def test_one_trains_from_the_base_where_the_picker_holds_a_tuned_model(registry, done):
    inputs = replace(INPUTS, model=done["linear"][-1][1].name)
    kept = run(registry, few(steps=1), inputs)[-1][1]
    assert registry.tuned.base(kept.name) == "playground-mini"


def test_a_wish_to_stop_keeps_the_best_so_far(registry):
    halt = Halt()

    async def collect():
        found = []
        async for html, now in trained(registry, few(steps=500), INPUTS, halt, "me"):
            if not found and isinstance(now, Watched) and now.doing == "tuning" and now.steps:
                halt.asked = True
            found += [(html, now)] if halt.asked or found else []
        return found

    html, kept = asyncio.run(collect())[-1]
    assert "Stopped after step" in html
    assert kept.found.best.result is not None
    assert halt.asked is False


def test_who_waits_sees_the_place_and_can_leave_the_line(registry):
    with registry.line.place():
        steps = trained(registry, few(), INPUTS, halt := Halt(), "me")

        async def wait():
            html, now = await anext(steps)
            assert ("You are second in line." in html, now) == (True, None)
            assert len(registry.line) == 2
            halt.asked = True
            with pytest.raises(PlaygroundError, match=r"^You have left the line; press Train"):
                await anext(steps)

        asyncio.run(wait())
        assert len(registry.line) == 1
    assert len(registry.line) == 0


def test_a_closed_page_gives_its_turn_to_the_next(registry):
    async def leave():
        steps = trained(registry, few(), INPUTS, Halt(), "me")
        await anext(steps)
        assert len(registry.line) == 1
        await steps.aclose()

    asyncio.run(leave())
    assert len(registry.line) == 0


def test_titles_of_two_tunings_differ(registry, done):
    name = done["linear"][-1][1].name
    twin = keep(registry, registry.tuned.delta(name), "playground-mini", "me")
    own = "tuned: linear, 4 shots, seed 0"
    assert titled(registry, (name, "tuned:gone", twin)) == [(own, name), (f"{own} (2)", twin)]


# ---- files ----------------------------------------------------------------------------------------


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_file_opens_on_the_model_of_the_page(registry, done):
    delta = registry.tuned.delta(done["bias"][-1][1].name)
    full = replace(delta, prompt=replace(delta.prompt, examples=({"text": "x" * 1000},)),
                   report={**delta.report, "more": "y" * 1000})  # fmt: skip
    back, base = opened(registry, coded(delta_bytes(full)), "")
    assert base == "playground-mini"
    assert {
        k: bool((v == delta.tensors[k]).all()) for k, v in back.tensors.items()
    } == dict.fromkeys(delta.tensors, True)
    assert (back.prompt.examples, "more" in back.report) == ((), False)  # what no cap would count


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda d: "", "The file is no delta of this version;"),
        (lambda d: "not base64!", "The file did not arrive whole; open it again."),
        (lambda d: "é" * 8, "The file did not arrive whole; open it again."),
        (lambda d: coded(b"\x80\x04cos\nsystem\n"), "The file is no delta of this version;"),
        (lambda d: coded(delta_bytes(d)[:-4]), "The file is damaged: its tensors cannot be read; get it again."),
        (lambda d: coded(delta_bytes(replace(d, revision="other"))), "The delta was tuned on "),
        (lambda d: coded(delta_bytes(replace(d, base="a\nb"))), "The file names no model that it was tuned on;"),
        (lambda d: coded(delta_bytes(replace(d, tensors={"change:no.bias": torch.zeros(3)}))), "The delta cannot be used: the base has no weight"),
        (lambda d: coded(delta_bytes(replace(d, tensors={"change:cls.predictions.bias": torch.zeros(3)}))), "The delta cannot be used: "),
        (lambda d: "A" * (2 << 20), "The file is larger than 1 MiB; open it with playground score --tuned"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_one_sentence(registry, done, content, sentence):
    small = Registry(Settings(max_tuned_file_mb=1))
    delta = registry.tuned.delta(done["bias"][-1][1].name)
    with pytest.raises(PlaygroundError) as error:
        opened(small, content(delta), "")
    assert str(error.value).startswith(sentence)
    assert len(small.tuned) == 0


def test_a_prompt_with_rules_is_refused(registry, done):
    delta = registry.tuned.delta(done["bias"][-1][1].name)
    rules = replace(delta, prompt=load_prompt("relations"))
    with pytest.raises(PlaygroundError, match=r"^The file holds a prompt with rules, which"):
        opened(registry, coded(delta_bytes(rules)), "")


def test_numbers_that_break_the_model_are_refused(registry, done):
    delta = registry.tuned.delta(done["bias"][-1][1].name)
    broken = {
        name: torch.full_like(tensor, 3e38) if name.startswith("change:") else tensor
        for name, tensor in delta.tensors.items()
    }
    with pytest.raises(
        PlaygroundError, match=r"^The file's numbers break the model: it scores a plain"
    ):
        opened(registry, coded(delta_bytes(replace(delta, tensors=broken))), "")


def test_a_file_leaves_as_it_is():
    assert download_bytes("d", bytes(range(256))) == (
        f'{{"name": "d", "type": "application/octet-stream", "base64": "{coded(bytes(range(256)))}"}}'
    )


# ---- the same elsewhere ---------------------------------------------------------------------------


def test_the_program_does_what_the_tab_does(registry, done, tmp_path, monkeypatch):
    text = program(registry, few(method="bias"), INPUTS)
    (tmp_path / "rows.csv").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = executed(text)
    found = done["bias"][-1][1].found.outcomes[0].result.metrics
    assert said[0].splitlines()[-1] == f"0 {found.accuracy} {found.accuracy_interval}"
    command = next(line for line in text.splitlines() if line.startswith("# playground tune"))
    assert command == (
        "# playground tune rows.csv --prompt prompt.json --method bias --shots 4 --seeds 1 --seed 0 "
        "--steps 2 --batch 4 --out tuned"
    )
    assert "read_file('reviews.csv')" in program(registry, choices(), INPUTS)


def executed(program: str) -> tuple[str, dict]:
    """Run a program as one who pastes it does; return what it prints, and its names."""
    said, names = io.StringIO(), {}
    with contextlib.redirect_stdout(said):
        exec(compile(program, "program", "exec"), names)  # noqa: S102
    return said.getvalue(), names


def test_the_command_is_one_that_the_terminal_takes(registry, tmp_path, monkeypatch, capsys):
    content = "body,verdict\n" + "".join(
        f"A film {k}.,{'yes it is' if k % 2 else 'no'}\n" for k in range(40)
    )
    (tmp_path / "rows.csv").write_text(content)
    found = from_file(content, 100)
    chosen = choices(
        source=OPEN_ROWS, opened=found, first="body", label="verdict", shots=2, steps=1, rate=1e-3, patience=2,
        mapping="yes it is = positive\nno = negative",
    )  # fmt: skip
    text = program(registry, chosen, INPUTS)
    INPUTS.prompt().save(tmp_path / "prompt.json")
    monkeypatch.chdir(tmp_path)
    command = next(line for line in text.splitlines() if line.startswith("# playground tune"))
    assert main(shlex.split(command.removeprefix("# playground "))) == 0
    assert (tmp_path / "tuned" / "delta.safetensors").exists()
    assert "linear, seed 0" in capsys.readouterr().out


def test_the_program_of_typed_rows_is_the_tutorials_call(registry):
    chosen = choices(source=TYPED, method="bias", steps=2)
    _, names = executed(program(registry, chosen, INPUTS))
    kept = run(registry, chosen)[-1][1]
    assert names["tuned"].backbone.delta.digest == registry.tuned.delta(kept.name).digest


def test_no_program_holds_the_key(registry, done):
    name = done["linear"][-1][1].name
    text = program(registry, choices(), replace(INPUTS, model=name))
    assert name not in text
    assert "prompting = Prompting()\n" in text
