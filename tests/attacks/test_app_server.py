"""A stranger's program at the app: limits hold on the server, and an error tells only its sentence."""

from __future__ import annotations

import json
import logging
import os
import socket

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from playground import Prompting
from playground.app.page import sendable
from playground.app.session import BROKEN
from playground.errors import shorten
from tests.app.elements import read
from tests.app.serving import Site, served

DEFAULTS = {
    "template": "{text} It was {mask}.",
    "label_words": "good: great\nbad: awful",
    "second_text": "",
    "aggregation": "mean",
    "calibration": "contextual",
    "model": "",
}
NER = {
    "types": "person: man\nplace: city\nnone: thing",
    "templates": "The {mask} {span}.",
    "candidates": "names",
    "most_words": 4,
    "prior": "contextual",
    "threshold": 1.0,
    "decoding": "greedy",
    "nested": False,
    "spans": None,
    "model": "",
}
NER_PAGE = ["", "Ana is in Rome.", *list(NER.values())[:5], 1.0, "greedy", False]
PAGE = ["", "I like it.", "", "{text} It was {mask}.", "good: great\nbad: awful",
        "mean", "contextual", "", "", "confidence", "sum"]  # fmt: skip
SECRET = "/srv/models/key.pem: token=hunter2"
MANY_LABELS = "\n".join(f"label{i}: word{i}" for i in range(1000))
MANY_WORDS = "good: great\nbad: " + ", ".join(f"word{i}" for i in range(1000))


@pytest.fixture(scope="module")
def client(site: Site) -> Client:
    return site.client()


def classify(site: Site, **changes: object) -> tuple[str, object]:
    """Ask /classify with values of any kind, as JSON can send them."""
    return site.call("classify", list(({"text": "I like it."} | DEFAULTS | changes).values()))


def ner(site: Site, **changes: object) -> tuple[str, object]:
    """Ask /ner with values of any kind."""
    return site.call("ner", list(({"text": "Ana is in Rome."} | NER | changes).values()))


def refused(answer: tuple[str, object]) -> str:
    """Return the sentence of an answer that is an error; fails if there is more to it."""
    state, data = answer
    assert state == "error"
    assert data == {"error": data["error"], "duration": 10, "visible": True, "title": "Error"}
    return data["error"]


# ---- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "x" * 100_000}, "text has 100,000 characters; the most is 20,000. The model reads 512 tokens."),
        ({"template": "x" * 10_000}, "The template has 10,000 characters; the most is 2,000."),
        ({"label_words": MANY_LABELS}, "There are 1000 labels; the most is 64."),
        ({"label_words": MANY_WORDS}, "There are 1001 label words; the most is 512."),
        ({"label_words": "a: b\n" * 100_000}, "The label words have 500,000 characters; the most is 102,400."),
        ({"label_words": f"{'x' * 61}: a\nb: c"}, f'Label "{"x" * 39}…" has 61 characters; the most is 60.'),
        ({"label_words": f"a: {'x' * 61}\nb: c"}, f'Label word "{"x" * 39}…" has 61 characters; the most is 60.'),
        ({"label_words": "a: b*1e9\nb: c"}, 'The weight of "b" is "1000000000.0"; it must be above 0 and at most 1,000,000.'),
        ({"template": "{mask} {text}" + " a" * 600}, "The prompt takes 603 tokens without any text and the model reads 512; shorten the template."),
    ],
    ids=["text", "template", "labels", "words", "source", "label", "word", "weight", "tokens"],
)  # fmt: skip
def test_a_limit_holds_on_the_server(site, changes, message):
    assert refused(classify(site, **changes)) == message


def test_a_text_at_its_limit_is_cut_and_scored(site):
    state, (answer,) = classify(site, text="film " * 4000)
    assert (state, answer["tokens"]) == ("complete", 512)


def test_the_second_text_has_the_same_limit(site):
    changes = {"template": "{text_a} {mask} {text_b}", "second_text": "x" * 100_000}
    assert refused(classify(site, **changes)) == (
        "text_b has 100,000 characters; the most is 20,000. The model reads 512 tokens."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "x" * 100_000}, "The text has 100,000 characters; the most is 20,000."),
        ({"text": "A " * 9_000, "candidates": "all"}, "The text has 35,994 candidate spans and the most is 2,000; shorten it, take fewer words a span, or candidates that look like names."),
        ({"text": "a b " * 150, "candidates": "all", "most_words": 10}, "The text has 2,955 candidate spans and the most is 2,000; shorten it, take fewer words a span, or candidates that look like names."),
        ({"types": MANY_LABELS}, "There are 1000 labels; the most is 64."),
        ({"types": MANY_WORDS}, "There are 1001 label words; the most is 512."),
        ({"types": "a: b\n" * 100_000}, "The label words have 500,000 characters; the most is 102,400."),
        ({"templates": "x" * 10_000}, "The template has 10,000 characters; the most is 2,000."),
        ({"templates": "{span}{mask}\n" * 100_000}, "There are 100000 templates; the page averages 6 at most."),
        ({"templates": "{mask} {span}" + " a" * 600}, "The prompt takes 603 tokens without any text and the model reads 512; shorten the template."),
        ({"most_words": 10**30}, f'most_words is "{10**30}"; it must be a whole number from 1 to 10.'),
        ({"most_words": -3, "candidates": "all"}, 'most_words is "-3"; it must be a whole number from 1 to 10.'),
        ({"threshold": 10**30}, f'threshold is "{10**30}"; it must be a number from -100 to 100.'),
    ],
    ids=["text", "spans", "most words", "labels", "words", "source", "template", "templates", "repeated", "huge", "negative", "threshold"],
)  # fmt: skip
def test_a_limit_of_entities_holds_on_the_server(site, changes, message):
    assert refused(ner(site, **changes)) == message


@pytest.mark.parametrize("top_k", [10**9, 10**30, 0, -1, 101, 2.5, "5", None, True, [5], {"k": 5}])
def test_the_number_of_predictions_has_a_limit(site, top_k):
    said = refused(site.call("fill", ["a {mask}", top_k, ""]))
    assert said.startswith("top_k is ")
    assert said.endswith("; it must be a whole number from 1 to 100.")


def test_a_sentence_to_fill_has_a_limit(site):
    said = refused(site.call("fill", ["x" * 100_000 + "{mask}", 5, ""]))
    assert said == "The text has 100,006 characters; the most is 20,000."


@pytest.mark.parametrize("most", [10**9, 10**30, 0, -1, 2.5, "5", None, True, [5]])
@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("layers", lambda most: ["a {mask}", most, ""], "top_k is {}; it must be a whole number from 1 to 100."),
        ("attention", lambda most: ["a b", most, 1, ""], "layer is {}; it must be a whole number from 1 to {layers}."),
        ("attention", lambda most: ["a b", 1, most, ""], "head is {}; it must be a whole number from 1 to {heads}."),
    ],
    ids=["layers", "layer", "head"],
)  # fmt: skip
def test_a_look_inside_has_limits(site, prompting, name, values, said, most):
    layers, heads = prompting.attention("a b").weights.shape[:2]
    message = said.format(shorten(most), layers=layers, heads=heads)
    assert refused(site.call(name, values(most))) == message


@pytest.mark.parametrize("name", ["layers", "attention"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * 100_000 + "{mask}", "The text has 100,006 characters; the most is 20,000."),
        ("film " * 3000 + "{mask}", "The text is longer than the {} tokens that the model reads; shorten it."),
        (7, 'text is "7"; it must be text.'),
        (None, 'text is "None"; it must be text.'),
    ],
    ids=["characters", "tokens", "number", "nothing"],
)  # fmt: skip
def test_a_text_to_look_inside_has_limits(site, prompting, name, text, said):
    values = [text, 5, ""] if name == "layers" else [text, 1, 1, ""]
    message = said.replace("{}", str(prompting.backbone.encoder.max_tokens))
    assert refused(site.call(name, values)) == message


COMPARED = {"template": "{text} It was {mask}.", "label_words": "good: great\nbad: awful"}


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([COMPARED] * 5, "There are 5 prompts; give from 1 to 4."),
        ([], "There are 0 prompts; give from 1 to 4."),
        ("x", 'prompts is "x"; it must be a list of objects with template and label_words.'),
        ([5], 'prompts is "[5]"; it must be a list of objects with template and label_words.'),
        ([COMPARED | {"path": "/etc"}], 'A prompt has the unknown key "path"; it takes name, template, label_words, aggregation, calibration, model.'),
        ([COMPARED | {"model": 5}], 'model is "5"; it must be text.'),
        ([COMPARED, {"label_words": "a: b\nc: d"}], "The template is empty; write a sentence with a {mask} in it."),
        ([COMPARED | {"template": "{premise} {mask} {hypothesis} {text_a}"}], "The template takes 3 texts; this endpoint takes two."),
        ([COMPARED | {"template": "x" * 10_000}], "The template has 10,000 characters; the most is 2,000."),
        ([COMPARED | {"label_words": MANY_LABELS}], "There are 1000 labels; the most is 64."),
    ],
)  # fmt: skip
def test_compared_prompts_have_limits(site, prompts, message):
    said = refused(site.call("compare", ["I like it.", prompts, ""]))
    assert said == message


def test_a_compared_text_has_a_limit(site):
    said = refused(site.call("compare", ["x" * 100_000, [COMPARED], ""]))
    assert said.startswith("text has 100,000 characters; the most is 20,000.")


# ---- values of the wrong kind -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "label_words", "second_text", "model"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [(5, "5"), (None, "None"), (True, "True"), (["x"], "['x']"), ({"a": [1]}, "{'a': [1]}")],
)
def test_what_is_no_text_is_refused_by_name(site, name, value, shown):
    assert refused(classify(site, **{name: value})) == f'{name} is "{shown}"; it must be text.'


@pytest.mark.parametrize(
    "name", ["text", "types", "templates", "candidates", "prior", "decoding", "model"]
)
@pytest.mark.parametrize(
    ("value", "shown"), [(5, "5"), (None, "None"), (True, "True"), (["x"], "['x']")]
)
def test_what_is_no_text_is_refused_by_name_in_ner(site, name, value, shown):
    assert refused(ner(site, **{name: value})) == f'{name} is "{shown}"; it must be text.'


@pytest.mark.parametrize("name", ["most_words", "threshold"])
@pytest.mark.parametrize("value", ["4", None, True, [4], {"a": 1}])
def test_what_is_no_number_is_refused_in_ner(site, name, value):
    said = refused(ner(site, **{name: value}))
    assert said.startswith(f'{name} is "{value}"; it must be a ')


@pytest.mark.parametrize("name", ["candidates", "prior", "decoding"])
def test_what_is_no_choice_of_ner_is_refused(site, name):
    said = refused(ner(site, **{name: "mean " * 1000}))
    assert said.startswith(
        ("There are no candidates ", "There is no prior ", "There is no decoding ")
    )
    assert len(said) < 200


@pytest.mark.parametrize(
    "text", ["\ud800 Ana", "Ana\x00Rome", "\u202eAna\u200d", "🏴" * 500 + " Ana"]
)
def test_the_entities_of_any_text_stand_in_it(site, text):
    state, (answer,) = ner(site, text=text, candidates="all", threshold=-50)
    assert state == "complete"
    assert answer
    assert [text[one["start"] : one["end"]] for one in answer] == [one["text"] for one in answer]


@pytest.mark.parametrize("value", [5, None, ["{mask}"], {"a": 1}])
def test_what_is_no_template_is_refused(site, value):
    said = refused(classify(site, template=value))
    assert said == f"A template is text with a {{mask}}, not a {type(value).__name__}."


@pytest.mark.parametrize("name", ["aggregation", "calibration"])
@pytest.mark.parametrize("value", [5, None, ["mean"], {"mean": 1}, "mean " * 1000])
def test_what_is_no_choice_is_refused(site, name, value):
    said = refused(classify(site, **{name: value}))
    assert said.startswith(f'{name} is "')
    assert "; it must be one of " in said
    assert len(said) < 200


@pytest.mark.parametrize("text", ["\ud800 x", "x\x00y", "\u202e\u200d", "🏴" * 500, "\r\n\t"])
def test_any_text_is_scored(site, text):
    state, (answer,) = classify(site, text=text)
    assert state == "complete"
    assert sum(answer["scores"].values()) == pytest.approx(1)
    assert answer["prompt"] == f"{sendable(text.strip())} It was [MASK]."


@pytest.mark.parametrize(
    "values",
    [
        [[1], {"a": 2}, 3, 4, 5, "mean", "none", 8, 9, "confidence", "sum"],
        [None] * 5 + ["mean", "none", None, None, "confidence", "sum"],
        ["x" * 5000, *PAGE[1:]],
        [PAGE[0], "x" * 100_000, *PAGE[2:]],
        [*PAGE[:3], "{mask" * 300, *PAGE[4:]],
    ],
    ids=["kinds", "null", "model", "text", "template"],
)
def test_a_listener_of_the_page_answers_hostile_values_with_one_line(site, values):
    state, (*unchanged, line) = site.call("score", values)
    assert state == "complete"
    assert [update["__type__"] for update in unchanged] == ["update", "update"]
    (element,) = read(line)
    assert element.classes == {"pp-notice", "pp-error"}
    assert 0 < len(element.text) < 400


@pytest.mark.parametrize(
    "values",
    [
        ["", "", *NER_PAGE[2:]],
        [*NER_PAGE[:2], "person", *NER_PAGE[3:]],
        [*NER_PAGE[:3], "no gap", *NER_PAGE[4:]],
        [*NER_PAGE[:3], "{mask", *NER_PAGE[4:]],
        [*NER_PAGE[:3], "{span}{mask}\n" * 99, *NER_PAGE[4:]],
        ["", "A " * 9_000, *NER_PAGE[2:4], "all", *NER_PAGE[5:]],
        ["x" * 5000, *NER_PAGE[1:]],
        [1, [1], {"a": 2}, 3, *NER_PAGE[4:]],
    ],
    ids=["text", "types", "template", "open", "templates", "spans", "model", "kinds"],
)
def test_the_page_of_ner_answers_hostile_values_with_one_line(site, values):
    state, (*unchanged, line) = site.call("find", [None, *values])
    assert state == "complete"
    kinds = [isinstance(shown, dict) and shown["__type__"] for shown in unchanged]
    assert set(kinds) <= {"update", False}
    assert kinds[:2] == ["update", "update"]
    (element,) = read(line)
    assert element.classes == {"pp-notice", "pp-error"}
    assert 0 < len(element.text) < 400


@pytest.mark.parametrize(
    "values",
    [
        ["", "", None],
        ["", "no gap", [1, 1]],
        ["", "{mask}" * 300, None],
        ["", "x" * 100_000, None],
        ["x" * 5000, "a {mask}", None],
        ["", [1], {"a": 2}],
        ["", None, "x"],
    ],
    ids=["empty", "no gap", "masks", "long", "model", "kinds", "null"],
)
def test_the_page_of_pretrain_answers_hostile_values_with_one_line(site, values):
    state, (*unchanged, line) = site.call("look_inside", values)
    assert state == "complete"
    assert [isinstance(shown, dict) for shown in unchanged[:3]] == [True] * 3
    (element,) = read(line)
    assert element.classes == {"pp-notice", "pp-error"}
    assert 0 < len(element.text) < 400


@pytest.mark.parametrize(
    ("count", "error"),
    [
        (31, "Value 31 is greater than maximum value 30."),
        (10**9, "Value 1000000000 is greater than maximum value 30."),
        (-1, "Value -1 is less than minimum value 3."),
        ("x", None),
    ],
)
def test_the_page_shows_no_more_predictions_than_its_slider_has(site, count, error):
    state, data = site.call("predict", ["", "a {mask}", count, "Insert it"])
    assert (state, data["error"]) == ("error", error)


# ---- what an error tells ------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch) -> None:
    """The engine fails with a message that nobody may see."""

    def fail(*args: object, **kwargs: object):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Prompting, "explain", fail)
    monkeypatch.setattr(Prompting, "fill", fail)
    monkeypatch.setattr(Prompting, "fill_masks", fail)
    monkeypatch.setattr(Prompting, "classify_jobs", fail)


@pytest.mark.usefixtures("broken")
def test_a_defect_of_ours_tells_a_program_nothing(site, client):
    assert classify(site) == ("error", {"error": None})
    assert site.call("fill", ["a {mask}", 5, ""]) == ("error", {"error": None})
    assert ner(site) == ("error", {"error": None})
    with pytest.raises(AppError) as error:
        client.predict("I like it.", api_name="/classify")
    said = str(error.value)
    assert said.startswith("The upstream Gradio app has raised an exception but has not enabled")
    assert "hunter2" not in said


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("score", PAGE),
        ("draw", PAGE),
        ("make_table", PAGE),
        ("make_picture", PAGE),
        ("predict", ["", "a {mask}", 5, "Insert it"]),
        ("find", NER_PAGE),
    ],
)
def test_a_defect_of_ours_is_one_line_on_the_page_and_whole_in_the_log(site, caplog, name, values):
    with caplog.at_level(logging.ERROR, logger="playground"):
        state, (*unchanged, line) = site.call(name, values)
    assert state == "complete"
    shown = [update for update in unchanged if update is not None]  # what a page keeps is not shown
    assert [update["__type__"] for update in shown] == ["update"] * len(shown) != []
    (element,) = read(line)
    assert (element.text, element.classes) == (BROKEN, {"pp-notice", "pp-error"})
    assert SECRET in caplog.text


def test_after_a_defect_the_app_goes_on(site):
    state, (answer,) = classify(site)
    assert (state, answer["label"]) == ("complete", "good")


# ---- what is private ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/score",
        "/judge",
        "/run",
        "/make_table",
        "/restore",
        "/load_model",
        "/contrast",
        "/measure",
        "/look_at",
        "/look_inside",
        "/open_lapse",
        "score",
    ],
)
def test_a_client_cannot_call_what_is_private(client, name):
    with pytest.raises(ValueError, match=f"Cannot find a function with `api_name`: /?{name}"):
        client.predict(api_name=name)


def test_what_is_private_is_described_nowhere(site):
    for path in ("/gradio_api/info", "/gradio_api/info?all_endpoints=true"):
        status, body = site.get(path)
        described = json.loads(body)
        assert status == 200
        public = ["/classify", "/fill", "/ner", "/compare", "/nli", "/layers", "/attention",
                  "/cards", "/models"]  # fmt: skip
        assert list(described["named_endpoints"]) == public
        assert described["unnamed_endpoints"] == {}


@pytest.mark.parametrize("route", ["run/classify", "api/classify", "run/predict", "run/cards"])
def test_no_call_goes_around_the_queue(site, route):
    answer = httpx.post(
        f"{site.url}/gradio_api/{route}", json={"data": ["I like it.", *DEFAULTS.values()]}
    )
    assert answer.status_code == 404
    assert answer.json() == {
        "detail": "This API endpoint does not accept direct HTTP POST requests. "
        "Please join the queue to use this API."
    }


# ---- hosted mode --------------------------------------------------------------------------------


@pytest.fixture
def dialled(monkeypatch) -> list:
    """What is looked up or connected to outside this machine; each attempt fails at once."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    attempts: list = []
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def looked_up(host, *rest, **options):
        if host in ("127.0.0.1", "localhost", None):
            return look_up(host, *rest, **options)
        attempts.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no network in tests")

    def connected(self, address):
        if self.family == socket.AF_UNIX or address[0] == "127.0.0.1":
            return connect(self, address)
        attempts.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    monkeypatch.setattr(socket.socket, "connect", connected)
    return attempts


@pytest.fixture(scope="module")
def hosted():
    with served(hosted=1, models="google/electra-small-generator") as running:
        yield running


OTHERS = ("bert-base-uncased", "http://evil.example/x", "//evil.example/x", "/etc", "~", "..",
          "./assets/models/playground-mini", os.getcwd(), "PLAYGROUND-MINI", "a\x00b")  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_hosted_app_refuses_another_model_and_opens_no_socket(hosted, dialled, name):
    said = refused(classify(hosted, model=name))
    assert said.endswith(
        " is not offered here; choose one of playground-mini, google/electra-small-generator."
    )
    assert dialled == []


def test_a_hosted_page_refuses_another_model_too(hosted, dialled):
    state, data = hosted.call("score", ["bert-base-uncased", *PAGE[1:]])
    assert state == "error"
    assert data["error"].startswith("Value: bert-base-uncased is not in the list of choices:")
    assert dialled == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_hosted_app_finds_entities_with_no_other_model(hosted, dialled, name):
    said = refused(ner(hosted, model=name))
    assert said.endswith(
        " is not offered here; choose one of playground-mini, google/electra-small-generator."
    )
    assert dialled == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_hosted_app_looks_into_no_other_model(hosted, dialled, name):
    for call, values in (("layers", ["a {mask}", 5]), ("attention", ["a {mask}", 1, 1])):
        said = refused(hosted.call(call, [*values, name]))
        assert said.endswith(
            " is not offered here; choose one of playground-mini, google/electra-small-generator."
        )
    assert dialled == []


def test_a_hosted_app_scores_with_what_it_lists(hosted):
    state, (answer,) = classify(hosted, model="playground-mini")
    assert (state, answer["label"]) == ("complete", "good")


def test_the_watch_over_sockets_sees_an_attempt(site, dialled):
    said = refused(classify(site, model="google/electra-small-generator"))
    assert said.startswith('The model "google/electra-small-generator" could not be fetched from')
    assert set(dialled) == {"huggingface.co"}
