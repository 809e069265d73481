"""The tutorial's calls against its algorithm, written afresh on plain transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import pipeline

from playground import PlaygroundError

SENTENCES = [
    "I really like the film a lot. Because it was {m}.",
    "NLP is a {m} technology.",
    "{m} is the capital of France.",
    "The food was bad, the service slow, and the {m} was {m}.",
    "Paris is the capital of {m}",
]
LISTS = [
    (["great"], ["bad"]),
    (["great", "good", "amazing"], ["awful", "bad"]),
    (["great", "qqqqq"], ["bad"]),  # the vocabulary does not hold the second
    (["good"], []),
    (["qqqqq"], ["zzzzz"]),
]


class Tutorial:
    """The tutorial's algorithm: one text, all positions, the whole vocabulary sorted."""

    def __init__(self, plain) -> None:
        self.model, self.tokenizer = plain.model, plain.tokenizer

    def prompt_pred(self, text: str) -> list[tuple[str, torch.Tensor]]:
        ids = self.tokenizer(text, return_tensors="pt").input_ids
        tokens = self.tokenizer.convert_ids_to_tokens(ids[0])
        position = tokens.index(self.tokenizer.mask_token)
        self.model.eval()
        with torch.no_grad():
            predictions = self.model(ids)[0]
        values, indices = torch.sort(predictions[0, position], descending=True)
        return list(zip(self.tokenizer.convert_ids_to_tokens(indices), values, strict=True))

    def compute_tokens_prob(self, text: str, first: list[str], second: list[str]) -> torch.Tensor:
        scores = dict(self.prompt_pred(text))
        sums = [sum(scores.get(token, 0) for token in tokens) for tokens in (first, second)]
        return torch.nn.functional.softmax(torch.Tensor(sums), dim=0)


@pytest.fixture(scope="module", params=["shipped", "roberta"])
def pair(request, open_model, plain_of):
    """Our engine and plain transformers on the same model."""
    return open_model(request.param), plain_of(request.param)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_prompt_pred_is_the_tutorials(pair, sentence):
    ours, plain = pair
    text = sentence.format(m=plain.mask)
    expected = Tutorial(plain).prompt_pred(text)
    got = ours.prompt_pred(text)
    assert [value for _, value in got] == sorted((value for _, value in got), reverse=True)
    assert len(got) == len(expected) == plain.model.config.vocab_size
    numbers = {token: float(value) for token, value in expected}
    assert {token for token, _ in got} == set(numbers)
    difference = [abs(value - numbers[token]) for token, value in got]
    assert max(difference) <= 1e-4 * max(1.0, abs(got[0][1]))
    assert [token for token, _ in got[:5]] == [token for token, _ in expected[:5]]


@pytest.mark.parametrize(("first", "second"), LISTS)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_compute_tokens_prob_is_the_tutorials(pair, sentence, first, second):
    ours, plain = pair
    text = sentence.format(m=plain.mask)
    expected = Tutorial(plain).compute_tokens_prob(text, first, second)
    got = ours.compute_tokens_prob(text, first, second)
    assert got.dtype == torch.float32
    assert got.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(("first", "second"), LISTS[:2])
def test_logit_sum_is_the_tutorials_softmax(prompting, plain_of, make_prompt, first, second):
    text = "I really like the film a lot."
    prompt = make_prompt(labels={"a": first, "b": second}, aggregation="logit_sum")
    expected = Tutorial(plain_of("shipped")).compute_tokens_prob(
        f"{text} Because it was [MASK].", first, second
    )
    for words in (True, False):
        got = prompting.classify([text], prompt, words=words).probabilities[0]
        assert got.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def _readable(entry: dict, plain) -> str:
    """Return the token of a pipeline's entry; white space shows as the vocabulary spells it."""
    return entry["token_str"].strip() or plain.tokenizer.convert_ids_to_tokens(entry["token"])


@pytest.mark.parametrize("sentence", [s for s in SENTENCES if s.count("{m}") == 1])
def test_fill_is_the_fill_mask_pipeline(pair, sentence):
    ours, plain = pair
    fill_mask = pipeline("fill-mask", model=plain.model, tokenizer=plain.tokenizer)
    text = sentence.format(m=plain.mask)
    expected = fill_mask(text, top_k=10)
    got = ours.fill(text, top_k=10)
    assert [fill.token for fill in got] == [_readable(entry, plain) for entry in expected]
    assert [fill.probability for fill in got] == pytest.approx(
        [entry["score"] for entry in expected], abs=1e-5
    )


@pytest.mark.parametrize("sentence", [SENTENCES[0], SENTENCES[2]])
def test_word_scores_are_those_of_the_pipelines_targets(pair, sentence):
    ours, plain = pair
    fill_mask = pipeline("fill-mask", model=plain.model, tokenizer=plain.tokenizer)
    words = ["great", "good", "awful", "bad"]
    space = "" if sentence.startswith("{m}") or plain.mask == "[MASK]" else "Ġ"
    targets = [f"{space}{word}" for word in words]
    if space == "" and plain.mask == "<mask>":
        words = targets = ["I", "A"]  # one piece without a space before them
    expected = fill_mask(sentence.format(m=plain.mask), targets=targets)
    by_id = {entry["token"]: entry["score"] for entry in expected}
    got = ours.score_words(sentence.format(m="{mask}"), words)
    assert [entry.text for entry in got] == words
    numbers = [by_id[plain.tokenizer.convert_tokens_to_ids(target)] for target in targets]
    assert torch.tensor([entry.log_prob for entry in got]).exp().tolist() == pytest.approx(
        numbers, abs=1e-5
    )


def test_fill_masks_reads_every_mask_as_the_pipeline_does(pair):
    ours, plain = pair
    fill_mask = pipeline("fill-mask", model=plain.model, tokenizer=plain.tokenizer)
    text = f"The {plain.mask} was bad and the service was {plain.mask}."
    expected = fill_mask(text, top_k=3)
    got = ours.fill_masks(text, top_k=3)
    assert len(got) == 2
    for ours_at, theirs_at in zip(got, expected, strict=True):
        assert [fill.token for fill in ours_at] == [_readable(entry, plain) for entry in theirs_at]
        assert [fill.probability for fill in ours_at] == pytest.approx(
            [e["score"] for e in theirs_at], abs=1e-5
        )


@pytest.mark.parametrize("mask", ["{mask}", "[MASK]", "<mask>"])
def test_every_spelling_of_the_mask_gives_the_same_fill(pair, mask):
    ours, plain = pair
    assert ours.fill(f"It was {mask}.") == ours.fill(f"It was {plain.mask}.")


@pytest.mark.parametrize("call", ["fill", "prompt_pred", "fill_masks"])
def test_a_text_without_a_mask_is_an_error(prompting, call):
    message = r'^"It was \[mask\]\." has no mask; write \{mask\} where a word is missing\.$'
    with pytest.raises(PlaygroundError, match=message):
        getattr(prompting, call)("It was [mask].")


@pytest.mark.parametrize("top_k", [0, -1])
def test_fewer_than_one_prediction_is_an_error(prompting, top_k):
    with pytest.raises(PlaygroundError, match=rf"^top_k is {top_k}; ask for at least 1 prediction"):
        prompting.fill("It was {mask}.", top_k=top_k)


def test_more_predictions_than_words_are_all_words(prompting, plain_of):
    got = prompting.fill("It was {mask}.", top_k=10**6)
    assert len(got) == plain_of("shipped").model.config.vocab_size
    assert sum(fill.probability for fill in got) == pytest.approx(1.0, abs=1e-4)


def test_a_free_text_that_is_too_long_is_an_error(prompting):
    message = r"^The text has 20,001 characters; the most is 20,000\.$"
    with pytest.raises(PlaygroundError, match=message):
        prompting.fill("a" * 20_001)


@pytest.mark.parametrize("text", ["It was so.", "{mask} or {mask}"])
def test_words_are_scored_at_exactly_one_mask(prompting, text):
    with pytest.raises(PlaygroundError, match=r"must have exactly one mask; write \{mask\} once"):
        prompting.score_words(text, ["good"])
