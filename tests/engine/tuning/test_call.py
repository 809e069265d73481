"""``Prompting.fine_tune``, the tutorial's call."""

from __future__ import annotations

import re

import numpy as np
import pytest

from playground import PlaygroundError
from tests.engine.tuning.conftest import GOLD, OTHERS, ROWS


def test_the_tutorial_s_call_gives_a_model_that_scores(open_model):
    model = open_model("bert")
    before = model.prompt_pred("The film was [MASK].")
    tuned = model.fine_tune(
        ROWS, GOLD, " It was [MASK].", "great", "awful", steps=60, learning_rate=3e-3, batch_size=8
    )
    prompt = tuned.backbone.delta.prompt
    assert prompt.template.source == "{text} It was [MASK]."
    assert prompt.verbalizer.names == ("great", "awful")
    found = tuned.classify(OTHERS, prompt).probabilities.argmax(1)
    assert (found == np.array(GOLD)).mean() >= 0.85
    report = tuned.backbone.delta.report
    assert (report["rows"], report["dev_rows"]) == (12, 4)
    assert model.prompt_pred("The film was [MASK].") == before
    assert tuned.prompt_pred("The film was [MASK].") != before


def test_a_prompt_and_names_of_labels_do_as_well(open_model, make_prompt):
    prompt = make_prompt()
    tuned = open_model("bert").fine_tune(
        ["good food", "bad food"], ["positive", "negative"], prompt, method="linear", steps=2
    )
    delta = tuned.backbone.delta
    assert (delta.method, delta.report["rows"], delta.report["dev_rows"]) == ("linear", 2, 0)
    assert delta.report["best_step"] == 2  # without a dev set the last is kept
    assert tuned.classify(["good food"], prompt).labels == ("positive", "negative")


@pytest.mark.parametrize(
    ("sentences", "labels", "options", "message"),
    [
        (["a"], [0, 1], {}, "There are 1 sentences and 2 labels; give one label each, and at least one."),
        ([], [], {}, "There are 0 sentences and 0 labels; give one label each, and at least one."),
        (["a"], [2], {}, 'The label "2" is none of the prompt\'s; give good, bad, or their places from 0 to 1.'),
        (["a"], ["so"], {}, 'The label "so" is none of the prompt\'s; give good, bad, or their places from 0 to 1.'),
        ("ab", [0, 1], {}, "fine_tune takes a list of sentences and a list of labels."),
        (["a"], [0], {"epochs": 3}, None),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_told(sentences, labels, options, message, open_model):
    pattern = (
        re.escape(message)
        if message
        else r'fine_tune has no option "epochs"; it takes method, steps, .*\.'
    )
    with pytest.raises(PlaygroundError, match=f"^{pattern}$"):
        open_model("bert").fine_tune(sentences, labels, **options)
