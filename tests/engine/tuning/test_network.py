"""What each method frees, and that its scores and loss are those of inference."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import AutoModelForMaskedLM

from playground import PlaygroundError, Template
from playground.engine.tuning.loop import Shots, cross_entropy
from playground.engine.tuning.network import soft_template
from playground.engine.tuning.recipe import METHODS
from tests.engine import tiny
from tests.engine.tuning.conftest import GOLD, ROWS

WORDS = [name for name, method in METHODS.items() if method.words]


@pytest.mark.parametrize("aggregation", ["mean", "sum", "geometric", "max", "logit_sum"])
def test_the_loss_is_cross_entropy_of_the_scores_of_inference(
    aggregation, open_model, make_prompt, tuner_of
):
    tuner = tuner_of("whole", dropout=0.0)
    prompt = make_prompt(
        "{text} It was {mask}.",
        {"positive": ["great", ("good", 0.5)], "negative": ["awful"]},
        aggregation=aggregation,
        calibration="contextual",  # which training leaves out
    )
    tuner = type(tuner)(
        open_model("bert").backbone, prompt, Shots.of(ROWS, GOLD, 2), recipe=tuner.recipe
    )
    scores = open_model("bert").classify(ROWS, tuner.network.prompt).label_scores
    by_hand = -sum(scores[n, k] for n, k in enumerate(GOLD)) / len(GOLD)
    loss = tuner._loss(range(len(ROWS)), 1)
    assert float(loss) == pytest.approx(by_hand, abs=1e-5)
    plain = torch.nn.functional.nll_loss(torch.tensor(scores), torch.tensor(GOLD))
    assert float(loss) == pytest.approx(float(plain), abs=1e-5)


def test_soft_targets_weigh_the_labels():
    log_probs = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    targets = torch.tensor([[0.4, 0.6], [1.0, 0.0]])
    expected = torch.nn.functional.cross_entropy(log_probs, targets)
    assert torch.allclose(cross_entropy(log_probs, targets), expected)


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
@pytest.mark.parametrize("method", ["whole", "soft"])
def test_every_architecture_scores_as_inference_does(kind, method, open_model, tuner_of):
    tuner = tuner_of(method, kind=kind)
    tuner.network.train(False)
    with torch.no_grad():
        found = tuner.network.log_probs(tuner._train[:5]).exp()
    expected = open_model(kind)
    if method == "soft":
        expected = expected.tuned(tuner.delta())
    shares = expected.classify(ROWS[:5], tuner.network.prompt).probabilities
    torch.testing.assert_close(found.double(), torch.tensor(shares), atol=2e-5, rtol=1e-4)


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("method", list(METHODS))
def test_a_step_changes_exactly_what_the_method_tunes(method, tuner_of):
    tuner = tuner_of(method)
    network = tuner.network
    own = dict(network.model.named_parameters())
    before = {name: weight.detach().clone() for name, weight in own.items()}
    start = {name: weight.detach().clone() for name, weight in network.tuned.items()}
    steps = tuner.run()
    for _ in range(3):
        next(steps)
    free = {id(weight) for weight in network.tuned.values()}
    for name in changed(before, own):
        assert id(own[name]) in free, name
    assert all(weight.requires_grad == (id(weight) in free) for weight in own.values())
    moved = changed(start, network.tuned)
    if method == "bias":
        assert all(name.endswith("bias") for name in network.tuned)
        assert {"cls.predictions.bias", "bert.embeddings.LayerNorm.bias"} <= moved
    elif method == "lora":
        assert {name.split(".")[-2] for name in moved} == {"query", "value"}
        assert len(network.tuned) == 8
    elif method == "soft":
        assert set(network.tuned) == {"vectors"}
    elif method == "linear":
        assert set(network.tuned) == {"head:out.weight", "head:out.bias"}
    else:
        assert len(moved) > 30
    if method == "cls":
        assert "cls.predictions.transform.dense.weight" not in network.tuned
        assert "head:dense.weight" in moved


def test_rows_of_the_table_that_no_text_holds_stay_to_the_bit(tuner_of):
    tuner = tuner_of("whole", weight_decay=0.5)
    table = tuner.network.model.get_input_embeddings().weight
    before = table.detach().clone()
    list(tuner.run())
    seen = {i for prompt in tuner._train for i in prompt.ids} | set(
        tuner.network._reader.ids.tolist()
    )
    moved = (table != before).any(1).nonzero()[:, 0].tolist()
    assert len(moved) > 0
    assert set(moved) <= seen


def test_biases_and_norms_have_no_decay(tuner_of):
    tuner = tuner_of("whole")
    decayed, plain = tuner.optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    named = {id(weight): name for name, weight in tuner.network.tuned.items()}
    without = {named[id(weight)] for weight in plain["params"]}
    assert all(named[id(weight)].endswith("weight") for weight in decayed["params"])
    assert not any("LayerNorm" in named[id(weight)] for weight in decayed["params"])
    assert "bert.embeddings.word_embeddings.weight" in without


@pytest.mark.parametrize("encoder", ["lstm", "mlp"])
def test_encoded_soft_vectors_begin_with_the_spread_of_the_table(encoder, tuner_of):
    tuner = tuner_of("soft", soft_encoder=encoder)
    rows = tuner.delta().tensors["soft"]
    table = tuner.network.model.get_input_embeddings().weight
    assert rows.shape == (3, 32)
    assert float(rows.std(unbiased=False)) == pytest.approx(float(table.std()), rel=1e-4)
    assert any(name.startswith("lstm") for name in tuner.network.tuned) == (encoder == "lstm")


def test_soft_vectors_begin_as_words_when_asked(tuner_of, open_model):
    tuner = tuner_of("soft", soft_words="The film")
    model = open_model("bert")
    ids = [*model.backbone.encoder.pieces("The"), *model.backbone.encoder.pieces("film")]
    table = model.backbone.model.get_input_embeddings().weight
    assert torch.equal(tuner.delta().tensors["soft"][: len(ids)], table[ids][:3])


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_lora_begins_as_no_change(kind, tuner_of, open_model):
    tuner = tuner_of("lora", kind=kind)
    for name, weight in tuner.network.tuned.items():
        assert bool((weight == 0).all()) == name.endswith(".b")
    tuner.network.train(False)
    with torch.no_grad():
        found = tuner.network.log_probs(tuner._train)
    expected = open_model(kind).classify(tuner._rows[0].rows, tuner.prompt).label_scores
    torch.testing.assert_close(found.double(), torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "layers"), [("bert", ["query", "value"]), ("distilbert", ["q_lin", "v_lin"])]
)
def test_lora_is_the_scaled_product_added_to_query_and_value(kind, layers, tuner_of, folder_of):
    """W + alpha / rank · B A in a plain model of transformers (Hu et al. 2022, equation 3)."""
    tuner = tuner_of("lora", kind=kind, rank=4, alpha=8.0)
    torch.manual_seed(1)
    values = {name: torch.randn_like(weight) * 0.1 for name, weight in tuner.network.tuned.items()}
    tuner.network.restore(values)
    tuner.network.train(False)
    with torch.no_grad():
        found = tuner.network.log_probs(tuner._train)
    model = AutoModelForMaskedLM.from_pretrained(folder_of(kind)).eval()
    plain = [n for n, _ in model.named_modules() if n.rpartition(".")[2] in layers]
    assert len(plain) == 2 * 2
    assert sorted(values) == sorted(f"{name}.{part}" for name in plain for part in "ab")
    columns = tuner.network._reader.ids
    with torch.no_grad():
        for name in plain:
            change = 8.0 / 4 * values[f"{name}.b"] @ values[f"{name}.a"]  # (O, r) @ (r, I)
            model.get_submodule(name).weight.add_(change)
        for prompt, expected in zip(tuner._train, found, strict=True):
            logits = model(torch.tensor([prompt.ids])).logits[0, prompt.mask_positions[0]]
            p = logits.softmax(-1)[columns]
            labels = torch.stack([p[:2].mean(), p[2:].mean()])
            torch.testing.assert_close(
                (labels / labels.sum()).log(), expected, atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize(
    ("method", "template", "labels", "message"),
    [
        ("whole", "It was {mask}.", None, "The template takes no text, so there is nothing to tune it on; add {text}."),
        ("soft", "{text} {mask}", None, "The method soft tunes soft tokens and the template has none; write a slot such as {soft:4}."),
        ("lora", "{soft:2}{text} {mask}", None, "The template has 2 soft tokens and lora does not tune them; choose the method soft, or take them out."),
        ("bias", "{text} {mask}", {"positive": ["unputdownable"], "negative": ["bad"]}, r'Label word "unputdownable" is \d+ pieces and tuning takes words of one piece; choose another word.'),
    ],
)  # fmt: skip
def test_a_prompt_that_cannot_be_tuned_is_refused(
    method, template, labels, message, prompting, make_prompt, shots
):
    from playground.engine.tuning.loop import Tuner
    from playground.engine.tuning.recipe import Recipe

    pattern = message if labels else re.escape(message)
    with pytest.raises(PlaygroundError, match=f"^{pattern}$"):
        Tuner(
            prompting.backbone, make_prompt(template, labels), shots, recipe=Recipe(method=method)
        )


def test_options_of_soft_tokens_belong_to_soft(tuner_of):
    message = "soft_words and soft_encoder belong to the method soft, not to whole."
    with pytest.raises(PlaygroundError, match=f"^{message}$"):
        tuner_of("whole", soft_words="it")


def test_a_model_without_biases_or_queries_says_so():
    from playground.engine.tuning.lora import add_lora

    with pytest.raises(PlaygroundError, match=r"^This model has no query and value layers"):
        add_lora(torch.nn.Sequential(torch.nn.Linear(2, 2)), 2, 1.0)


@pytest.mark.parametrize(
    ("source", "soft"),
    [
        ("{text} Because it was {mask}.", "{soft:4} {text} Because it was {mask}."),
        ("{premise} ? {mask}, {hypothesis}", "{soft:4} {premise} ? {mask}, {hypothesis}"),
    ],
)
def test_soft_tokens_stand_in_front_of_all_that_a_template_says(source, soft):
    assert soft_template(Template(source)).source == soft
    assert soft_template(Template(source), 2).soft_tokens == 2
