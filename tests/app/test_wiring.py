"""A lint over the listeners of the page: what is live, what is public, and how much may wait."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest
from gradio.blocks import BlockFunction

from playground.app import TITLE, build
from playground.app.registry import Registry
from playground.settings import Settings

SETTINGS = replace(Settings(), queue_size=17, concurrency=3)
PUBLIC = ("classify", "fill", "ner", "compare", "nli", "layers", "attention", "cards", "models")
SCORING = ("Aggregation", "Calibration", "Domain prompt", "Unlabelled texts",
           "Words of several pieces: order", "Words of several pieces: score")  # fmt: skip


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return build(Registry(SETTINGS))


def listeners(page: gr.Blocks) -> list[BlockFunction]:
    return list(page.fns.values())


def name(listener: BlockFunction) -> str:
    return getattr(listener.fn, "__name__", "")


def triggers(page: gr.Blocks, listener: BlockFunction) -> list[tuple[object, str]]:
    """Return the components and events that start a listener."""
    return [(page.blocks.get(block), event) for block, event in listener.targets]


def live(page: gr.Blocks) -> list[BlockFunction]:
    """Return the listeners that redraw a result at every edit of a text box."""
    return [
        listener
        for listener in listeners(page)
        if any("result" in (block.elem_id or "") for block in listener.outputs)
        and any(typed_in(block) for block, _ in triggers(page, listener))
    ]


def typed_in(block: object) -> bool:
    """Return whether a visitor can type in a component."""
    return isinstance(block, gr.Textbox) and block.visible != "hidden"


def test_no_text_box_listens_to_key_presses(page):
    """Backspace, Delete, cut, paste, undo and input methods fire no ``input``."""
    heard = {
        event
        for listener in listeners(page)
        for block, event in triggers(page, listener)
        if isinstance(block, gr.Textbox)
    }
    assert heard == {"change"}


def test_every_text_box_that_one_types_in_is_live(page):
    typed = {
        block.elem_id or block.label
        for listener in live(page)
        for block, event in triggers(page, listener)
        if typed_in(block)
    }
    assert typed == {
        *("classify-text", "classify-text-b", "classify-template", "classify-words"),
        *("Domain prompt", "Unlabelled texts", "fill-a", "fill-b"),
        *("ner-text", "ner-types", "ner-templates"),
        *("nli-premise", "nli-hypothesis", "pretrain-text"),
        *("compare-text", "compare-text-b"),
        *(f"compare-{box}-{column}" for box in ("template", "words") for column in "abcd"),
    }


def test_the_live_listeners_are_those_of_the_tabs(page):
    names = sorted(name(listener) for listener in live(page))
    assert names == ["contrast", "find", "judge", "look_inside", "predict", "predict", "score"]


def test_a_live_listener_takes_the_newest_edit_and_shows_no_spinner(page):
    for listener in live(page):
        assert listener.trigger_mode == "always_last"
        assert listener.show_progress == "hidden"
        assert listener.concurrency_id == "model"
        assert listener.concurrency_limit == 3
        assert listener.queue is True


def test_every_listener_of_a_text_box_takes_the_newest_edit(page):
    """Any other mode drops the last edits of a burst."""
    modes = {
        listener.trigger_mode
        for listener in listeners(page)
        for block, _ in triggers(page, listener)
        if isinstance(block, gr.Textbox)
    }
    assert modes == {"always_last"}


def test_every_choice_is_live(page):
    (score,) = (listener for listener in live(page) if name(listener) == "score")
    started = [block.elem_id or block.label for block, _ in triggers(page, score)]
    assert sorted(started) == sorted(
        [
            "model-ready",
            "classify-text",
            "classify-text-b",
            "classify-template",
            "classify-words",
            *SCORING,
        ]
    )
    assert [block.elem_id or block.label for block in score.inputs] == [
        *("model", "classify-text", "classify-text-b", "classify-template", "classify-words"),
        *SCORING,
    ]


def test_a_choice_of_entities_is_drawn_by_what_runs_no_model(page):
    """What finds is started by what a model run depends on, what draws by the other choices."""
    (find,) = (listener for listener in live(page) if name(listener) == "find")
    asked = [
        *(
            "model-ready",
            "ner-text",
            "ner-types",
            "ner-templates",
            "ner-candidates",
            "ner-most-words",
        ),
        "ner-prior",
    ]
    assert [block.elem_id for block, _ in triggers(page, find)] == asked
    (draw,) = (
        listener
        for listener in listeners(page)
        if name(listener) == "draw"
        and any(block.elem_id == "ner-threshold" for block, _ in triggers(page, listener))
    )
    choices = ["ner-threshold", "ner-decoding", "ner-nested"]
    assert [block.elem_id for block, _ in triggers(page, draw)] == choices
    assert (draw.trigger_mode, draw.show_progress) == ("always_last", "hidden")
    assert [block.elem_id for block in find.inputs[1:]] == ["model", *asked[1:], *choices]
    assert [type(block) for block in (find.inputs[0], *draw.inputs[:3])] == [gr.State] * 4


def test_no_listener_draws_a_spinner_over_the_page(page):
    shown = {name(listener): listener.show_progress for listener in listeners(page) if listener.fn}
    private = {key: value for key, value in shown.items() if key not in PUBLIC}
    assert set(private.values()) == {"hidden", "minimal"}
    assert [key for key, value in private.items() if value == "minimal"] == ["load_model"]


def test_the_public_endpoints_are_named_and_few(page):
    visible = [listener for listener in listeners(page) if listener.api_visibility != "private"]
    assert [listener.api_name for listener in visible] == list(PUBLIC)
    assert [listener.api_visibility for listener in visible] == ["public"] * len(PUBLIC)
    assert [(listener.concurrency_id, listener.concurrency_limit) for listener in visible] == [
        ("model", 3)
    ] * len(PUBLIC)


def test_every_public_endpoint_says_what_it_takes(page):
    described = page.get_api_info()["named_endpoints"]
    assert list(described) == [f"/{endpoint}" for endpoint in PUBLIC]
    takes = {
        path: [parameter["parameter_name"] for parameter in info["parameters"]]
        for path, info in described.items()
    }
    assert takes == {
        "/classify": [
            *("text", "template", "label_words", "second_text"),
            *("aggregation", "calibration", "model"),
        ],
        "/fill": ["text", "top_k", "model"],
        "/ner": [
            *("text", "types", "templates", "candidates", "most_words", "prior"),
            *("threshold", "decoding", "nested", "spans", "model"),
        ],
        "/nli": ["premise", "hypothesis", "model"],
        "/compare": ["text", "prompts", "second_text"],
        "/layers": ["text", "top_k", "model"],
        "/attention": ["text", "layer", "head", "model"],
        "/cards": [],
        "/models": [],
    }
    required = {
        path: [p["parameter_name"] for p in info["parameters"] if not p["parameter_has_default"]]
        for path, info in described.items()
    }
    assert required == {
        "/classify": ["text"],
        "/fill": ["text"],
        "/ner": ["text"],
        "/nli": ["premise", "hypothesis"],
        "/compare": ["text", "prompts"],
        "/layers": ["text"],
        "/attention": ["text"],
        "/cards": [],
        "/models": [],
    }
    assert all(info["description"] for info in described.values())


def test_the_queue_is_bounded_by_the_settings(page):
    assert page._queue.max_size == 17
    assert page._queue.default_concurrency_limit == 3


def test_the_page_says_nothing_to_anyone(page):
    assert page.title == TITLE == "Prompt Playground"
    assert page.analytics_enabled is False


def test_no_component_shows_html_of_its_own_making(page):
    """A template of an HTML component would run what stands in a user's ${...}."""
    templates = {
        (block.html_template, block.css_template)
        for block in page.blocks.values()
        if isinstance(block, gr.HTML)
    }
    assert templates == {("${value}", "")}
    kinds = {type(block).__name__ for block in page.blocks.values()}
    assert not kinds & {
        "Markdown",
        "HighlightedText",
        "Dataframe",
        "Chatbot",
        "File",
        "UploadButton",
    }


@pytest.mark.parametrize("hosted", [False, True])
def test_strangers_choose_among_the_listed_models_only(hosted):
    settings = replace(Settings(), hosted=hosted, models="playground-mini, bert-base-uncased")
    page = build(Registry(settings))
    (model,) = (block for block in page.blocks.values() if getattr(block, "elem_id", "") == "model")
    offered = [value for _, value in model.choices]
    assert offered[:2] == ["playground-mini", "bert-base-uncased"]
    assert (len(offered) == 2) is hosted  # on one's own machine well-known ones stand beside
    assert model.allow_custom_value is not hosted
