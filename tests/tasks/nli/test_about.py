"""What stands beside a classifier: its card, its curve, and the cloze view of a pair."""

from __future__ import annotations

import numpy as np
import pytest

from playground.engine.loading import Source
from playground.tasks.nli import LABELS
from playground.tasks.nli.about import about
from playground.tasks.nli.cloze import ask_cloze, cloze_prompt, cloze_row
from playground.tasks.training.curve import Curve, Point

CURVE = Curve((Point(1, 0.1, loss=1.2), Point(10, 1.0, dev_loss=0.9, dev_score=0.625)), 10)


def test_the_card_is_shown_without_front_matter_and_pictures(tmp_path):
    card = "---\nbase_model: x\n---\n# Title\n\n![curve](curve.svg)\ntext --- more\n---\nend\n"
    (tmp_path / "README.md").write_text(card)
    CURVE.save(tmp_path / "curve.json")
    found = about(Source("mine", str(tmp_path), True))
    assert found.card == "# Title\n\ntext --- more\n---\nend\n"
    assert found.curve == CURVE


@pytest.mark.parametrize(
    "curve", [None, "", "{", "[]", "{}", '{"points": [{}], "best_step": 1}', "3"]
)
def test_a_folder_without_card_or_curve_is_told(curve, tmp_path):
    if curve is not None:
        (tmp_path / "curve.json").write_text(curve)
        (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    found = about(Source("mine", str(tmp_path), True))
    assert (found.card, found.curve) == ("This classifier has no model card.", None)


def test_a_hub_model_is_named():
    found = about(Source("someone/nli", "someone/nli", False))
    assert (
        found.card == "This classifier comes from the hub; its card is on the page of someone/nli."
    )
    assert found.curve is None


@pytest.mark.parametrize(
    ("premise", "shown"),
    [("A man sleeps.", "A man sleeps"), (" Is it so?! ", "Is it so"), ("no mark", "no mark")],
)
def test_the_cloze_row_drops_the_last_stop(premise, shown):
    assert cloze_row(premise, "He is awake.") == {"premise": shown, "hypothesis": "He is awake."}


def test_the_cloze_view_is_the_calibrated_prompt(prompting):
    prompt = cloze_prompt()
    assert prompt.scoring.calibration == "contextual"
    assert set(prompt.verbalizer.names) == set(LABELS)
    found = ask_cloze(prompting, "A man sleeps.", "A man is awake.")
    scores = prompting.classify([("A man sleeps", "A man is awake.")], prompt)
    assert found.labels == prompt.verbalizer.names
    np.testing.assert_allclose(found.probabilities, scores.probabilities[0], atol=1e-5)
