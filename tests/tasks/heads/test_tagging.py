"""Tags at first pieces: places against the tokenizers' own, long sentences, entities as seqeval counts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from seqeval.metrics import f1_score
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as macro
from transformers import AutoTokenizer

from playground.tasks.heads import Examples
from playground.tasks.heads.head import Spec
from playground.tasks.heads.tagging import IGNORED, TagHead, split_words, usual_tags
from tests.engine import tiny
from tests.tasks.heads.lessons import sentences

WORDS = ("The", "inspectors", "didn't", "like", "[MASK]", "pizzas", "!")
TAGS = ("D", "N", "V", "V", "X", "N", "X")
KINDS = ("bert", "roberta", "deberta-v2", "modernbert", "xlm-roberta")


def head(tokenizer, labels=("D", "N", "V", "X"), max_tokens=tiny.MAX_TOKENS) -> TagHead:
    return TagHead(Spec("tag", labels, max_tokens=max_tokens), tokenizer)


@pytest.fixture(scope="module")
def tokenizer_of(tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp("tokenizers") / kind
            made[kind] = AutoTokenizer.from_pretrained(tiny.save(kind, folder))
        return made[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_read_as_they_stand_in_a_text(kind, tokenizer_of):
    tokenizer = tokenizer_of(kind)
    (piece,) = head(tokenizer).pieces([WORDS])
    plain = tokenizer(" ".join(WORDS), split_special_tokens=True)["input_ids"]
    if kind == "bert":  # others cut "[MASK]" into signs in ways of their own
        assert list(piece.encoded.ids) == plain
    ordinary = tuple(word for word in WORDS if word != "[MASK]")
    (piece,) = head(tokenizer).pieces([ordinary])
    assert list(piece.encoded.ids) == tokenizer(" ".join(ordinary))["input_ids"]
    assert tokenizer.mask_token_id not in head(tokenizer).pieces([WORDS])[0].encoded.ids


def test_the_tag_stands_at_the_first_piece_alone(tokenizer_of):
    tokenizer = tokenizer_of("bert")
    made = head(tokenizer)
    (piece,) = made.pieces([WORDS])
    known = tokenizer(list(WORDS), is_split_into_words=True, split_special_tokens=True).word_ids()
    wanted, before = [], None
    for word in known:
        fresh = word is not None and word != before
        wanted.append("DNVX".index(TAGS[word]) if fresh else IGNORED)
        before = word
    assert len(known) > len(WORDS) + 2  # some words have several pieces
    assert made.targets(piece, TAGS)["labels"] == wanted


@pytest.mark.parametrize("most", [8, 9, 12, 64])
def test_a_long_sentence_is_read_in_parts_of_whole_words(most, tokenizer_of):
    draw = random.Random(most)
    made = head(tokenizer_of("bert"), max_tokens=most)
    words = tuple(draw.choice(WORDS) for _ in range(60))
    tags = tuple(TAGS[WORDS.index(word)] for word in words)
    pieces = made.pieces([WORDS[:2], words])
    assert {piece.row for piece in pieces} == {0, 1}
    parts = [piece for piece in pieces if piece.row == 1]
    assert len(parts) > 1
    assert max(len(piece.encoded) for piece in pieces) <= most
    assert [p.first for p in parts] == np.cumsum([0, *(len(p.places) for p in parts[:-1])]).tolist()
    # each word has its tag once, and its output is led back to it
    labels = [k for p in parts for k in made.targets(p, tags)["labels"] if k != IGNORED]
    assert ["DNVX"[k] for k in labels] == list(tags)
    outputs = []
    for piece in pieces:
        gold = ("D", "N") if piece.row == 0 else tags
        eye = np.full((len(piece.encoded), 4), -1.0)
        for place, label in enumerate(made.targets(piece, gold)["labels"]):
            if label != IGNORED:
                eye[place, label] = 5.0
        outputs.append(eye)
    found = made.decode([WORDS[:2], words], pieces, outputs)
    assert ["DNVX"[k] for k in found[1].argmax(-1)] == list(tags)


def test_a_word_longer_than_all_and_one_of_nothing_keep_their_place(tokenizer_of):
    made = head(tokenizer_of("bert"), max_tokens=10)
    words = ("a", "x" * 200, "a", "\u200b", "a", "!" * 50)
    pieces = made.pieces([words])
    assert sum(len(piece.places) for piece in pieces) == len(words)
    assert max(len(piece.encoded) for piece in pieces) <= 10


def random_tags(labels, seed):
    draw = random.Random(seed)
    return [tuple(draw.choice(labels) for _ in range(draw.randint(3, 9))) for _ in range(40)]


def one_hot(rows, labels):
    return [
        np.log(np.eye(len(labels))[[labels.index(tag) for tag in tags]] + 1e-9) for tags in rows
    ]


def test_measures_are_those_of_scikit_learn(tokenizer_of):
    labels = ("D", "N", "V", "X")
    gold = random_tags(labels, 0)
    draw = random.Random(1)
    found = [
        tuple(tag if draw.random() < 0.7 else draw.choice(labels) for tag in tags) for tags in gold
    ]
    made = head(tokenizer_of("bert"))
    rows = Examples("tag", [("w",) * len(tags) for tags in gold], gold)
    result = made.evaluate(one_hot(found, labels), rows)
    flat = [[tag for tags in side for tag in tags] for side in (gold, found)]
    values = {m.name: m.value for m in result.measures}
    assert values == pytest.approx(
        {"accuracy": accuracy_score(*flat), "macro_f1": macro(*flat, average="macro")}
    )
    low, high = result.first.interval
    assert low < result.first.value < high
    assert made.metric.name == result.first.name == "accuracy"


def test_entities_are_those_of_seqeval(tokenizer_of):
    labels = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    gold = random_tags(labels, 2)
    draw = random.Random(3)
    found = [
        tuple(tag if draw.random() < 0.7 else draw.choice(labels) for tag in tags) for tags in gold
    ]
    made = head(tokenizer_of("bert"), labels)
    rows = Examples("tag", [("w",) * len(tags) for tags in gold], gold)
    result = made.evaluate(one_hot(found, labels), rows)
    assert made.metric.name == result.first.name == "entity_f1"
    wanted = f1_score([list(tags) for tags in gold], [list(tags) for tags in found])
    assert 0.2 < wanted < 0.9
    assert result.first.value == pytest.approx(wanted)


def test_the_baseline_is_the_commonest_tag_of_each_word():
    train = Examples("tag", [("a", "b", "a"), ("a", "c", "c")], [("X", "Y", "X"), ("Z", "Z", "Z")])
    rows = Examples("tag", [("a", "b", "new")], [("X", "Y", "Z")])
    assert usual_tags(train, rows) == [["X", "Y", "Z"]]


def test_the_result_names_the_baselines_share(tokenizer_of):
    train, dev = sentences(40), sentences(20, 1)
    labels = ("DOWN", "O", "UP")
    result = head(tokenizer_of("bert"), labels).evaluate(one_hot(dev.golds, labels), dev, train)
    usual = [tag for tags in usual_tags(train, dev) for tag in tags]
    gold = [tag for tags in dev.golds for tag in tags]
    assert result.first.value == 1.0
    assert result.first.baseline == pytest.approx(accuracy_score(gold, usual))
    assert result.first.baseline < 0.8
    assert result.unit == f"rows with {len(gold)} words"


def test_a_text_is_cut_into_words_and_signs():
    assert split_words("He didn't pay $3.50, Mr. O'Neil-Smith!") == (
        "He", "didn't", "pay", "$", "3.50", ",", "Mr", ".", "O'Neil-Smith", "!",
    )  # fmt: skip
