"""The head on every layer's state, and attention weights, against plain transformers with eager attention."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, FNetConfig, FNetForMaskedLM

from playground import PlaygroundError, Prompting
from playground.engine.lens import plain_copy
from playground.settings import Settings
from tests.engine import tiny

KINDS = ("shipped", *tiny.ARCHITECTURES)
TEXT = "The film was {mask} and I liked it."
# The norm behind all layers, where an architecture has one: what the head reads has passed it.
FINAL_NORM = {"modernbert": "final_norm"}


@pytest.fixture(scope="module")
def eager_of(folder_of):
    """Return plain transformers with eager attention, and its tokenizer."""

    def opened(kind: str):
        model = AutoModelForMaskedLM.from_pretrained(
            folder_of(kind), dtype=torch.float32, attn_implementation="eager"
        )
        return model.eval(), AutoTokenizer.from_pretrained(folder_of(kind))

    return opened


def head(model, kind: str, state: torch.Tensor) -> torch.Tensor:
    """Apply a model's own head to a state (H,), module by module as its forward does; -> (V,)."""
    if kind in ("roberta", "xlm-roberta"):
        return model.lm_head(state)
    if kind == "distilbert":
        return model.vocab_projector(
            model.vocab_layer_norm(model.activation(model.vocab_transform(state)))
        )
    if kind == "albert":
        return model.predictions(state)
    if kind == "electra":
        return model.generator_lm_head(model.generator_predictions(state))
    if kind == "modernbert":
        return model.decoder(model.head(state))
    return model.cls(state[None, None])[0, 0]  # BERT and DeBERTa


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_the_head_on_that_layers_state(kind, open_model, eager_of):
    model, tokenizer = eager_of(kind)
    inputs = tokenizer(TEXT.replace("{mask}", tokenizer.mask_token), return_tensors="pt")
    place = int((inputs.input_ids[0] == tokenizer.mask_token_id).nonzero()[0, 0])
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
        *inner, last = (state[0, place] for state in out.hidden_states)
        if norm := FINAL_NORM.get(kind):
            inner = [getattr(model.base_model, norm)(state) for state in inner]
        expected = torch.stack([head(model, kind, state) for state in (*inner, last)])
    ours = open_model(kind)
    found = ours._lens.logits(ours._free_text(TEXT))
    assert found.shape == (model.config.num_hidden_layers + 1, model.config.vocab_size)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(found[-1], out.logits[0, place], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_row_is_what_fill_gives(kind, open_model):
    model = open_model(kind)
    view = model.layers(TEXT, top_k=7)
    best = model.fill(TEXT, top_k=7)
    assert view.layers[-1] == tuple(best)  # to the last bit
    assert (view.winner, view.ranks[-1]) == (best[0].token, 1)
    assert view.probabilities[-1] == pytest.approx(best[0].probability, abs=1e-7)
    assert len(view) == model.backbone.model.config.num_hidden_layers + 1


def test_the_winner_is_followed_through_the_layers(prompting):
    view = prompting.layers(TEXT, top_k=3)
    logits = prompting._lens.logits(prompting._free_text(TEXT))
    best = int(prompting.runner.logits([prompting._free_text(TEXT)])[0][0].argmax())
    for row, share, rank, top in zip(logits[:-1], view.probabilities, view.ranks, view.layers, strict=False):  # fmt: skip
        p = row.double().softmax(-1)
        assert share == pytest.approx(float(p[best]), rel=1e-4)
        assert rank == int((p > p[best]).sum()) + 1
        assert [fill.probability for fill in top] == pytest.approx(p.topk(3).values.tolist(), rel=1e-4)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [TEXT, "No mask at all!"])
def test_attention_is_that_of_transformers(kind, text, open_model, eager_of):
    model, tokenizer = eager_of(kind)
    inputs = tokenizer(text.replace("{mask}", tokenizer.mask_token), return_tensors="pt")
    with torch.no_grad():
        expected = torch.cat(model(**inputs, output_attentions=True).attentions)
    found = open_model(kind).attention(text)
    assert (found.layers, found.heads) == tuple(expected.shape[:2])
    np.testing.assert_allclose(found.weights, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert len(found.tokens) == inputs.input_ids.shape[1]
    places = (inputs.input_ids[0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
    assert list(found.mask_positions) == places


def test_tokens_stand_as_people_write_them(prompting, open_model):
    assert prompting.attention("Unputdownable {mask}").tokens[-2:] == ("[MASK]", "[SEP]")
    assert "##" in "".join(prompting.attention("Unputdownable").tokens)
    assert open_model("roberta").attention(" The film").tokens == ("<s>", "The", "film", "</s>")


def test_entropy_is_counted_in_bits(prompting):
    found = prompting.attention(TEXT)
    weights = found.weights.astype(float)
    for layer, head_number in ((0, 0), (3, 2)):
        rows = [-sum(p * np.log2(p) for p in row if p > 0) for row in weights[layer, head_number]]
        assert found.entropies()[layer, head_number] == pytest.approx(np.mean(rows), abs=1e-5)
    even = replace(found, weights=np.full((1, 1, 8, 8), 1 / 8))
    assert even.entropies() == pytest.approx(3.0)
    sure = replace(found, weights=np.eye(8)[None, None])
    assert sure.entropies() == pytest.approx(0.0)


def test_both_can_be_written_as_json(prompting):
    view = prompting.layers(TEXT, top_k=2).to_json()
    assert [row["layer"] for row in view["layers"]] == list(
        range(prompting.attention(TEXT).layers + 1)
    )
    assert view["layers"][-1]["top"] == [
        {"token": f.token, "logit": f.logit, "probability": f.probability}
        for f in prompting.fill(TEXT, top_k=2)
    ]
    found = prompting.attention(TEXT)
    data = found.to_json(2, 3)
    assert (data["layer"], data["head"]) == (2, 3)
    assert (data["layers"], data["heads"]) == found.weights.shape[:2]
    np.testing.assert_allclose(data["weights"], found.weights[1, 2], atol=1e-6)


# ---- the copy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_shares_every_weight(kind, open_model):
    model = open_model(kind).backbone.model
    shared = {weight.untyped_storage().data_ptr() for weight in model.state_dict().values()}
    copy = plain_copy(model)
    assert {w.untyped_storage().data_ptr() for w in copy.parameters()} <= shared
    assert not any(weight.is_meta for weight in (*copy.parameters(), *copy.buffers()))
    assert not any(weight.requires_grad for weight in copy.parameters())
    assert not copy.training


@pytest.mark.parametrize("kind", ["shipped", "deberta-v2", "modernbert"])
def test_the_shared_model_answers_as_before(kind, folder_of):
    model = Prompting(folder_of(kind), threads=1)
    before, again = (model._free_text(t) for t in (TEXT, f"{TEXT} Yes."))
    first = model.runner.logits([before])[0].clone()
    model.layers(TEXT)
    model.attention(TEXT)
    fresh = Prompting(folder_of(kind), threads=1)
    assert torch.equal(fresh.runner.logits([before])[0], first)
    assert torch.equal(model.runner.logits([again])[0], fresh.runner.logits([again])[0])


def test_rounded_weights_are_looked_into_too(folder_of):
    model = Prompting(folder_of("shipped"), dtype="bfloat16", threads=1)
    view = model.layers(TEXT)
    assert view.layers[-1] == tuple(model.fill(TEXT))
    assert np.abs(model.attention(TEXT).weights.sum(-1) - 1).max() < 0.02


def test_threads_see_their_own_texts(open_model):
    texts = [f"The film was {{mask}} and {word}." for word in ("good", "bad", "sad", "slow")]
    model = open_model("bert")
    quiet = Settings(cache_mb=0)
    alone = {t: (model.layers(t), model.attention(t)) for t in texts}
    shared = Prompting(model.backbone.source.location, threads=1, settings=quiet)
    wrong: list[str] = []

    def work(text: str) -> None:
        for _ in range(15):
            view, found = shared.layers(text), shared.attention(text)
            same = view.ranks == alone[text][0].ranks
            if not same or not np.allclose(found.weights, alone[text][1].weights, atol=1e-6):
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_text_is_looked_into_once(folder_of, monkeypatch):
    model = Prompting(folder_of("bert"), threads=1)
    model.layers(TEXT)
    runs = []
    monkeypatch.setattr(type(model._lens._inside), "__call__", lambda *a: runs.append(a))
    model.layers(TEXT, top_k=9)
    model.attention(TEXT)
    assert runs == []


# ---- what cannot be had -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no mask", '"no mask" has no mask; write {mask} where a word is missing.'),
        ("", '"" has no mask; write {mask} where a word is missing.'),
        ("{mask} and [MASK]", "The text has 2 masks and the layers are read at one; write {mask} once."),
        ("x" * 20_001, "The text has 20,001 characters; the most is 20,000."),
        ("good " * 3000 + "{mask}", "The text is longer than the {} tokens that the model reads; shorten it."),
    ],
)  # fmt: skip
def test_a_text_without_one_mask_is_refused(prompting, text, message):
    with pytest.raises(PlaygroundError) as error:
        prompting.layers(text)
    assert str(error.value) == message.replace("{}", str(prompting.backbone.encoder.max_tokens))


def test_no_prediction_at_all_is_refused(prompting):
    with pytest.raises(PlaygroundError, match="top_k is 0; ask for at least 1 prediction"):
        prompting.layers(TEXT, top_k=0)


def test_a_long_text_is_refused_by_the_settings(folder_of):
    model = Prompting(folder_of("bert"), threads=1, settings=Settings(max_lens_tokens=8))
    assert model.attention("good good good good good good").weights.shape[-1] == 8
    for look in (model.layers, model.attention):
        with pytest.raises(PlaygroundError) as error:
            look("good good good good good {mask} good")
        assert str(error.value) == (
            "The text has 9 tokens and layers and attention are read for at most 8; shorten it."
        )


@pytest.fixture(scope="module")
def fourier(tmp_path_factory) -> Prompting:
    """A model that mixes tokens by a Fourier transform: it has layers, and no attention at all."""
    folder = tmp_path_factory.mktemp("models") / "tiny-fnet"
    tokenizer = tiny.wordpiece()
    torch.manual_seed(1)
    config = FNetConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2,
                        intermediate_size=64, max_position_embeddings=64)  # fmt: skip
    FNetForMaskedLM(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Prompting(folder, threads=1)


def test_a_model_without_attention_still_has_layers(fourier):
    view = fourier.layers(TEXT)
    assert (len(view), view.layers[-1]) == (3, tuple(fourier.fill(TEXT)))
    with pytest.raises(PlaygroundError) as error:
        fourier.attention(TEXT)
    assert str(error.value) == (
        'The model "tiny-fnet" gives no attention weights of all its layers; choose another.'
    )


def test_a_model_whose_copy_says_something_else_is_refused(folder_of, monkeypatch):
    """Better no answer than a wrong one: the copy is compared with the shared model first."""
    model = Prompting(folder_of("electra"), threads=1)
    forward = model.backbone.forward
    monkeypatch.setattr(
        type(forward), "__call__", lambda self, batch, columns=None: torch.zeros(1, 1, 330)
    )
    told = (
        'The layers of "tiny-electra" cannot be read: its kind, "electra", gives no state a layer that '
        "its head takes; choose a model like BERT."
    )
    with pytest.raises(PlaygroundError) as error:
        model.attention("good")
    assert str(error.value) == told
    monkeypatch.undo()
    with pytest.raises(PlaygroundError) as error:  # and it is not tried again at every key
        model.attention("good")
    assert str(error.value) == told
