"""Calibration against hand arithmetic on the probabilities of plain transformers."""

from __future__ import annotations

import numpy as np
import pytest

from playground import PlaygroundError, Prompting
from playground.engine.calibration import Priors
from playground.settings import Settings

ROWS = ["I really like the film a lot.", "The food was bad and the service was slow.", "No."]
CARRIER = "{} Because it was {}."
LABELS = {"positive": ["great", "good"], "negative": ["awful", "bad", "sad"]}
WORDS = [word for words in LABELS.values() for word in words]
SIDES = (slice(0, 2), slice(2, 5))


def _words(plain, *texts: str) -> np.ndarray:
    """Return the probability of each label word at the mask, (W,), by plain transformers."""
    return plain.word_log_probs(WORDS, *texts).exp().numpy()


def _mean(words: np.ndarray) -> np.ndarray:
    """Return label probabilities by the mean of the words' probabilities, normalised."""
    scores = np.array([words[side].mean() for side in SIDES])
    return scores / scores.sum()


def _normal(values: np.ndarray) -> np.ndarray:
    return values / values.sum()


@pytest.fixture(params=["shipped", "roberta"])
def pair(request, open_model, plain_of):
    """Our engine and plain transformers on the same model."""
    return open_model(request.param), plain_of(request.param)


def test_without_calibration_probabilities_are_as_the_model_says(pair, make_prompt):
    ours, plain = pair
    scores = ours.classify(ROWS, make_prompt(labels=LABELS))
    for n, row in enumerate(ROWS):
        assert scores.probabilities[n] == pytest.approx(
            _mean(_words(plain, CARRIER.format(row, plain.mask))), abs=1e-5
        )
    assert scores.log_prior is None


@pytest.mark.parametrize("content_free", [("", "N/A", "text"), ("N/A",), ("", "so so")])
def test_contextual_divides_by_the_mean_over_content_free_texts(pair, make_prompt, content_free):
    ours, plain = pair
    prompt = make_prompt(labels=LABELS, calibration="contextual", content_free=content_free)
    scores = ours.classify(ROWS, prompt)
    priors = [_mean(_words(plain, CARRIER.format(text, plain.mask))) for text in content_free]
    prior = np.mean(priors, axis=0)
    assert np.exp(scores.log_prior) == pytest.approx(prior, abs=1e-5)
    for n, row in enumerate(ROWS):
        plain_row = _mean(_words(plain, CARRIER.format(row, plain.mask)))
        assert scores.probabilities[n] == pytest.approx(_normal(plain_row / prior), abs=1e-5)
        assert np.exp(scores.label_scores[n]) == pytest.approx(plain_row, abs=1e-5)


def test_a_content_free_mask_token_is_text_and_no_second_mask(open_model, plain_of, make_prompt):
    model, plain = open_model("roberta"), plain_of("roberta")
    prompt = make_prompt(labels=LABELS, calibration="contextual", content_free=("<mask>",))
    scores = model.classify(ROWS[:1], prompt)
    spelled = plain.tokenizer("<mask>", split_special_tokens=True, add_special_tokens=False)
    ids = plain.ids(CARRIER.format("X", "<mask>"))
    ids[1:2] = spelled.input_ids  # in place of "X"
    place = ids.index(plain.tokenizer.mask_token_id)
    log_p = plain.logits_of_ids(ids)[place].double().log_softmax(-1)
    prior = _mean(log_p[[plain.word_id(word) for word in WORDS]].exp().numpy())
    assert np.exp(scores.log_prior) == pytest.approx(prior, abs=1e-5)


@pytest.mark.parametrize(
    ("domain", "text"),
    [("The movie was {mask}.", "The movie was {}."), ("", CARRIER.format("", "{}"))],
)
def test_domain_subtracts_the_log_of_the_domain_prompt(pair, make_prompt, domain, text):
    ours, plain = pair
    prompt = make_prompt(labels=LABELS, calibration="domain", domain=domain)
    scores = ours.classify(ROWS, prompt)
    prior = _mean(_words(plain, text.format(plain.mask)))
    for n, row in enumerate(ROWS):
        pmi = np.log(_mean(_words(plain, CARRIER.format(row, plain.mask)))) - np.log(prior)
        assert scores.probabilities[n] == pytest.approx(_normal(np.exp(pmi)), abs=1e-5)


def test_corpus_divides_each_word_before_the_words_are_aggregated(pair, make_prompt):
    ours, plain = pair
    texts = ("The film was good.", "Two women are talking.", "A text.")
    prompt = make_prompt(labels=LABELS, calibration="corpus", prior_texts=texts)
    scores = ours.classify(ROWS, prompt)
    prior = np.mean([_words(plain, CARRIER.format(text, plain.mask)) for text in texts], axis=0)
    for n, row in enumerate(ROWS):
        words = _words(plain, CARRIER.format(row, plain.mask))
        assert scores.probabilities[n] == pytest.approx(_mean(words / prior), abs=1e-5)
        assert np.exp(scores.word_log_probs[n]) == pytest.approx(words, abs=1e-5)
    assert scores.log_prior is None  # it is a prior of words


def test_logit_sum_is_calibrated_by_its_own_prior(pair, make_prompt):
    ours, plain = pair
    prompt = make_prompt(
        labels=LABELS, calibration="contextual", content_free=("N/A",), aggregation="logit_sum"
    )

    def by_hand(text: str) -> np.ndarray:
        logits = plain.logits(CARRIER.format(text, plain.mask))[0].double().numpy()
        chosen = logits[[plain.word_id(word) for word in WORDS]]
        sums = np.array([chosen[side].sum() for side in SIDES])
        return _normal(np.exp(sums - sums.max()))

    expected = _normal(by_hand(ROWS[0]) / by_hand("N/A"))
    for words in (True, False):
        got = ours.classify(ROWS[:1], prompt, words=words).probabilities[0]
        assert got == pytest.approx(expected, abs=1e-5)


CALIBRATIONS = [
    {"calibration": "contextual"},
    {"calibration": "domain"},
    {"calibration": "domain", "domain": "A film: it was {mask}."},
    {"calibration": "corpus", "prior_texts": ("The film was good.", "Bad!")},
]


@pytest.mark.parametrize("options", CALIBRATIONS)
@pytest.mark.parametrize("words", [True, False])
def test_the_prior_never_comes_from_the_batch_that_is_scored(
    prompting, make_prompt, options, words
):
    prompt = make_prompt(**options)
    together = prompting.classify(ROWS, prompt, words=words)
    for n, row in enumerate(ROWS):
        alone = prompting.classify([row], prompt, words=words)
        assert alone.probabilities[0] == pytest.approx(together.probabilities[n], abs=1e-5)
        assert abs(alone.probabilities[0][0] - 0.5) > 1e-3  # from its own batch it were uniform


@pytest.mark.parametrize("options", CALIBRATIONS)
def test_word_columns_alone_give_the_same_calibrated_labels(prompting, make_prompt, options):
    prompt = make_prompt(**options)
    full = prompting.classify(ROWS, prompt)
    columns = prompting.classify(ROWS, prompt, words=False)
    assert columns.probabilities == pytest.approx(full.probabilities, abs=1e-5)


def test_a_pair_is_calibrated_by_empty_pairs(open_model, plain_of, make_prompt):
    plain = plain_of("bert")
    prompt = make_prompt(
        "{premise}? {sep} {mask}, {hypothesis}",
        {"yes": ["good"], "no": ["bad"]},
        calibration="contextual",
        content_free=("", "N/A"),
    )
    scores = open_model("bert").classify([("A man.", "Two women.")], prompt)

    def by_hand(first: str, second: str) -> np.ndarray:
        pair = (f"{first}?", f"[MASK], {second}")
        return _normal(plain.word_log_probs(["good", "bad"], *pair).exp().numpy())

    prior = (by_hand("", "") + by_hand("N/A", "N/A")) / 2
    expected = _normal(by_hand("A man.", "Two women.") / prior)
    assert scores.probabilities[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("template", "options", "message"),
    [
        (
            "{text_a} {text_b} {mask}",
            {"calibration": "corpus", "prior_texts": ("x",)},
            r"^Corpus calibration takes a template with one text and this one has 2; "
            r"choose contextual or domain\.$",
        ),
        (
            "It was {mask}.",
            {"calibration": "corpus", "prior_texts": ("x",)},
            r"^Corpus calibration takes a template with one text and this one has 0; ",
        ),
        (
            "{text} {mask}",
            {"calibration": "domain", "domain": "A {text} was {mask}."},
            r'^The domain prompt "A \{text\} was \{mask\}\." holds \{text\}; it says what the texts '
            r"are about and takes no text\.$",
        ),
        (
            "{text} {mask}",
            {"calibration": "domain", "domain": "A film."},
            r"^The template has no \{mask\}; put \{mask\} where a label word should stand\.$",
        ),
    ],
)
def test_a_prior_that_cannot_be_had_is_an_error(prompting, make_prompt, template, options, message):
    row = ("a", "b") if "text_b" in template else "a"
    prompt = make_prompt(template, **options)
    for call in (lambda: prompting.classify([row], prompt), lambda: prompting.explain(row, prompt)):
        with pytest.raises(PlaygroundError, match=message):
            call()


def test_a_missing_label_prior_is_a_defect_of_ours():
    with pytest.raises(ValueError, match=r"^this calibration has no label prior$"):
        Priors().label_prior()


@pytest.mark.parametrize(
    "options",
    [
        {"calibration": "corpus", "prior_texts": ("fine", "a" * 41)},
        {"calibration": "contextual", "content_free": ("a" * 41,)},
    ],
)
def test_a_text_of_the_calibration_is_as_long_as_any_may_be(prompting, make_prompt, options):
    model = Prompting(backbone=prompting.backbone, settings=Settings(max_text_chars=40))
    prompt = make_prompt("{text} {mask}", **options)
    message = (
        r"^A text of the calibration cannot be used\. text has 41 characters; the most is 40\. The model "
        r"reads \d+ tokens\.$"
    )
    for call in (lambda: model.classify(["a"], prompt), lambda: model.explain("a", prompt)):
        with pytest.raises(PlaygroundError, match=message):
            call()
