"""The fast path gives the numbers of the plain forward pass, or is not taken."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from playground.engine.encoding import Encoder, batches, collate
from playground.engine.forward import MaskForward
from playground.prompts import Template
from tests.engine import tiny

HEAD, FUSED, LAST, COLUMNS = (
    "mask-only head",
    "fused encoder",
    "mask-only last layer",
    "label-word columns",
)
SAVINGS = (HEAD, FUSED, COLUMNS)
ADOPTED = {
    "shipped": SAVINGS,
    "bert": SAVINGS,
    "roberta": SAVINGS,
    "xlm-roberta": SAVINGS,
    "electra": SAVINGS,
    "deberta-v2": (HEAD, LAST, COLUMNS),  # layers of another kind, with a last one like the others
    "distilbert": (HEAD, COLUMNS),
    "albert": (HEAD, COLUMNS),
    "modernbert": (HEAD, COLUMNS),
}
TEXTS = ["It was good.", "", "The man is playing a guitar in the park. " * 3, "bad " * 90]


def _batch(encoder: Encoder, *, masks: int = 1, pair: bool = False):
    template = Template(
        "{text} so {mask} it is {sep} and good" if pair else "{text} was {mask}, so"
    )
    encoded = encoder.encode([template.render(text, masks=masks) for text in TEXTS])
    return collate(encoded, range(len(encoded)), encoder.pad_id, encoder.uses_type_ids, "cpu")


def _plain_logits(model, batch) -> torch.Tensor:
    with torch.no_grad():
        logits = model(**batch.inputs).logits  # (N, T, V)
    rows = torch.arange(len(logits))[:, None]
    return logits[rows, batch.mask_positions]  # (N, M, V)


def _close(got: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal to 1e-5, or to 1e-5 of the largest number where that is more."""
    difference = (got - expected).abs().max()
    return got.shape == expected.shape and bool(
        difference <= 1e-5 * max(1.0, float(expected.abs().max()))
    )


def _bert(plain_of):
    """Return a copy of the tiny BERT that a test may alter, with its encoder."""
    plain = plain_of("bert")
    return copy.deepcopy(plain.model), Encoder(plain.tokenizer, tiny.MAX_TOKENS)


# ---- exact for every architecture ---------------------------------------------------------------


def test_every_architecture_is_listed():
    assert set(ADOPTED) == {"shipped", *tiny.ARCHITECTURES}


@pytest.mark.parametrize("kind", ADOPTED)
def test_the_savings_that_fit_are_adopted(kind, open_model):
    forward = open_model(kind).backbone.forward
    assert forward.savings == ADOPTED[kind]


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("masks", [1, 3])
@pytest.mark.parametrize("kind", ["shipped", *tiny.ARCHITECTURES])
def test_logits_at_the_masks_are_those_of_the_plain_model(kind, masks, pair, open_model, plain_of):
    backbone = open_model(kind).backbone
    batch = _batch(backbone.encoder, masks=masks, pair=pair)
    expected = _plain_logits(plain_of(kind).model, batch)
    full = backbone.forward(batch)
    assert full.shape == expected.shape == (len(TEXTS), masks, backbone.vocabulary_size)
    assert _close(full, expected)
    assert _close(full.log_softmax(-1), expected.log_softmax(-1))
    columns = torch.tensor([7, 3, 100, 3])
    some = backbone.forward(batch, columns)
    assert some.shape == (len(TEXTS), masks, 4)
    assert _close(some, expected[..., columns])


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_without_a_probe_the_forward_is_plain_and_exact(kind, plain_of):
    plain = plain_of(kind)
    encoder = Encoder(plain.tokenizer, tiny.MAX_TOKENS)
    batch = _batch(encoder)
    forward = MaskForward(copy.deepcopy(plain.model))
    expected = _plain_logits(plain.model, batch)
    assert forward.savings == ()
    assert torch.equal(forward(batch), expected)
    assert torch.equal(forward(batch, torch.tensor([5, 1])), expected[..., [5, 1]])


def test_one_pass_leaves_nothing_behind_for_the_next(open_model, plain_of):
    backbone = open_model("bert").backbone
    one, three = _batch(backbone.encoder), _batch(backbone.encoder, masks=3)
    first = backbone.forward(one)
    backbone.forward(three)
    backbone.forward(one, torch.tensor([1, 2]))
    assert torch.equal(backbone.forward(one), first)
    with torch.no_grad():  # the model called by itself computes every place, as transformers does
        logits = backbone.model(**one.inputs).logits
        expected = plain_of("bert").model(**one.inputs).logits
    assert _close(logits, expected)


def test_an_error_in_a_pass_leaves_nothing_behind(open_model):
    backbone = open_model("bert").backbone
    batch = _batch(backbone.encoder)
    expected = backbone.forward(batch)
    broken = {name: tensor + 10**6 for name, tensor in batch.inputs.items()}
    with pytest.raises(IndexError):
        backbone.forward(type(batch)(batch.rows, broken, batch.mask_positions))
    with torch.no_grad():
        logits = backbone.model(**batch.inputs).logits
    assert logits.shape[1] == batch.inputs["input_ids"].shape[1]
    assert torch.equal(backbone.forward(batch), expected)


def test_passes_of_two_threads_do_not_mix(open_model):
    backbone = open_model("bert").backbone
    one, three = _batch(backbone.encoder), _batch(backbone.encoder, masks=3)
    columns = torch.tensor([9, 4])
    expected = [backbone.forward(one), backbone.forward(three), backbone.forward(one, columns)]
    calls = [(one, None), (three, None), (one, columns)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for k in range(40):
            which = (number + k) % 3
            if not torch.equal(backbone.forward(*calls[which]), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_model_is_frozen(open_model):
    model = open_model("bert").backbone.model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["shipped", *tiny.ARCHITECTURES])
def test_the_model_is_given_an_attention_mask_and_what_its_tokenizer_names(
    kind, open_model, plain_of, make_prompt
):
    model = open_model(kind)
    seen: list[dict] = []
    watch = model.backbone.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    try:
        model.classify(TEXTS, make_prompt())
        model.fill(f"Never asked before: {kind} {{mask}}")
    finally:
        watch.remove()
    assert len(seen) >= 2
    for inputs in seen:
        assert set(inputs) == set(plain_of(kind).tokenizer.model_input_names)
        pad = inputs["input_ids"] == model.backbone.encoder.pad_id
        assert torch.equal(inputs["attention_mask"] == 0, pad)


# ---- savings that would give other numbers are left out -----------------------------------------


class _Mixing(nn.Module):
    """A module whose every place also reads the other places."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return self.inner(hidden + hidden.mean(1, keepdim=True), *others)


class _Doubling(nn.Linear):
    """A decoder that is more than its weights."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden) * 2


def _scale_attention(model) -> None:
    model.bert.encoder.layer[-1].attention.self.scaling = 0.1


def _mix_after_attention(model) -> None:
    layer = model.bert.encoder.layer[-1]
    layer.attention.output = _Mixing(layer.attention.output)


def _mix_head(model) -> None:
    model.cls = _Mixing(model.cls)
    model.get_output_embeddings = lambda: model.cls.inner.predictions.decoder


def _double_decoder(model) -> None:
    decoder = model.cls.predictions.decoder
    doubling = _Doubling(decoder.in_features, decoder.out_features)
    doubling.load_state_dict(decoder.state_dict())
    model.cls.predictions.decoder = doubling


@pytest.mark.parametrize(
    ("alter", "left"),
    [
        (_scale_attention, (HEAD, LAST, COLUMNS)),
        (_mix_after_attention, (HEAD, COLUMNS)),
        (_mix_head, ()),
        (_double_decoder, (HEAD, FUSED)),
    ],
)
def test_a_saving_that_changes_numbers_is_dropped(alter, left, plain_of):
    model, encoder = _bert(plain_of)
    alter(model)
    model.eval()
    batch = _batch(encoder)
    expected = _plain_logits(model, batch)
    forward = MaskForward(model, batch)
    assert forward.savings == left
    assert _close(forward(batch), expected)
    columns = torch.tensor([1, 50])
    assert _close(forward(batch, columns), expected[..., columns])


def test_a_model_with_another_kind_of_decoder_keeps_it(plain_of):
    model, encoder = _bert(plain_of)
    decoder = nn.Sequential(model.cls.predictions.decoder)
    model.cls.predictions.decoder = decoder
    batch = _batch(encoder)
    expected = _plain_logits(model, batch)
    forward = MaskForward(model, batch)
    assert forward.savings == (HEAD, FUSED)
    assert model.get_output_embeddings() is decoder
    assert _close(forward(batch), expected)


# ---- batches -------------------------------------------------------------------------------------


def test_batches_give_the_rows_of_single_prompts(open_model):
    backbone = open_model("roberta").backbone
    encoder = backbone.encoder
    encoded = encoder.encode([Template("{text} {mask}").render(text) for text in TEXTS])
    for batch in batches(encoded, budget=200, pad_id=encoder.pad_id, type_ids=False):
        together = backbone.forward(batch)
        for k, row in enumerate(batch.rows):
            alone = backbone.forward(collate([encoded[row]], [0], encoder.pad_id, False, "cpu"))
            assert _close(together[k], alone[0])
