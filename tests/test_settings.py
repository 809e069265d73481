"""The table of settings: defaults, overrides, wrong values, and that each is documented."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from playground.errors import PlaygroundError
from playground.settings import Settings, override_name, settings

README = Path(__file__).resolve().parents[1] / "README.md"

TEXTS = [  # setting, default, an override
    ("model", "playground-mini", "org/model"),
    ("models", "", "a, b"),
    ("nli_model", "playground-mini-snli", "org/classifier"),
    ("nli_models", "", "a, b"),
    ("datasets", "", "a/b, c"),
    ("device", "auto", "cuda:1"),
    ("dtype", "float32", "bfloat16"),
    ("host", "127.0.0.1", "0.0.0.0"),
]
NUMBERS = [  # setting, default, the least
    ("threads", 0, 0),
    ("batch_tokens", 1000, 1),
    ("window_rows", 2048, 1),
    ("cache_mb", 64, 0),
    ("model_slots", 2, 1),
    ("max_text_chars", 20_000, 1),
    ("max_template_chars", 2_000, 1),
    ("max_labels", 64, 2),
    ("max_label_words", 512, 2),
    ("max_split_pieces", 64, 1),
    ("max_table_rows", 5_000, 1),
    ("max_table_mb", 4, 1),
    ("max_lens_tokens", 128, 1),
    ("max_spans", 2_000, 1),
    ("max_prior_texts", 200, 1),
    ("max_tune_steps", 200, 1),
    ("max_tune_shots", 32, 1),
    ("max_tune_seeds", 5, 1),
    ("max_tuned_file_mb", 64, 1),
    ("tuned_mb", 256, 1),
    ("tuned_each", 4, 1),
    ("tuned_slots", 2, 1),
    ("tuned_minutes", 60, 1),
    ("max_link_chars", 16_000, 100),
    ("concurrency", 2, 1),
    ("queue_size", 64, 1),
    ("port", 7860, 1),
]
SWITCHES = [("hosted", False)]
NAMES = [row[0] for row in (*TEXTS, *NUMBERS, *SWITCHES)]


def test_this_file_holds_every_setting():
    assert sorted(NAMES) == sorted(row.name for row in fields(Settings))


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_explained_in_one_sentence(name):
    [row] = [row for row in fields(Settings) if row.name == name]
    assert re.fullmatch(r"[\w].{10,160}\.", row.metadata["help"])


def test_the_readme_names_every_override_and_no_other():
    named = set(re.findall(r"\bPLAYGROUND_[A-Z_]*[A-Z]\b", README.read_text(encoding="utf-8")))
    assert named == {override_name(name) for name in NAMES}


@pytest.mark.parametrize(
    ("name", "default"), [row[:2] for row in (*TEXTS, *NUMBERS, *SWITCHES)], ids=NAMES
)
def test_default(name, default):
    assert getattr(Settings.from_environment({}), name) == default
    assert getattr(Settings(), name) == default


@pytest.mark.parametrize(("name", "value"), [(row[0], row[2]) for row in TEXTS])
def test_a_text_is_overridden_without_outer_blanks(name, value):
    given = Settings.from_environment({f"PLAYGROUND_{name.upper()}": f" {value} "})
    assert getattr(given, name) == value


@pytest.mark.parametrize(("name", "least"), [(row[0], row[2]) for row in NUMBERS])
def test_a_number_is_overridden_down_to_its_least(name, least):
    variable = f"PLAYGROUND_{name.upper()}"
    assert getattr(Settings.from_environment({variable: "12345"}), name) == 12345
    assert getattr(Settings.from_environment({variable: str(least)}), name) == least


@pytest.mark.parametrize(("name", "least"), [(row[0], row[2]) for row in NUMBERS])
def test_a_number_below_its_least_is_refused(name, least):
    variable = f"PLAYGROUND_{name.upper()}"
    message = rf"^{variable} is {least - 1}; the least is {least}\.$"
    with pytest.raises(PlaygroundError, match=message):
        Settings.from_environment({variable: str(least - 1)})


@pytest.mark.parametrize("raw", ["many", "", "1.5", "1e3", "9" * 5000])
@pytest.mark.parametrize("name", [row[0] for row in NUMBERS])
def test_a_number_that_is_none_is_refused(name, raw):
    variable = f"PLAYGROUND_{name.upper()}"
    message = rf'^{variable} is "{raw[:39]}…?"; set it to a whole number\.$'
    with pytest.raises(PlaygroundError, match=message):
        Settings.from_environment({variable: raw})


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        *[(raw, True) for raw in ("1", "true", "YES", " on ")],
        *[(raw, False) for raw in ("0", "False", "no", "off", "")],
    ],
)
def test_a_switch_is_overridden(raw, value):
    assert Settings.from_environment({"PLAYGROUND_HOSTED": raw}).hosted is value


def test_a_switch_that_is_neither_on_nor_off_is_refused():
    with pytest.raises(
        PlaygroundError, match=r'^PLAYGROUND_HOSTED is "maybe"; set it to 1 or 0\.$'
    ):
        Settings.from_environment({"PLAYGROUND_HOSTED": "maybe"})


def test_a_space_is_hosted_and_listens_to_all():
    given = Settings.from_environment({"SPACE_ID": "someone/playground"})
    assert (given.hosted, given.host) == (True, "0.0.0.0")


def test_an_override_is_stronger_than_the_space():
    given = Settings.from_environment({"SPACE_ID": "someone/playground", "PLAYGROUND_HOSTED": "0"})
    assert (given.hosted, given.host) == (False, "0.0.0.0")


def test_an_empty_space_id_is_no_space():
    assert Settings.from_environment({"SPACE_ID": ""}) == Settings()


def test_only_the_full_variable_name_counts():
    assert Settings.from_environment({"PORT": "1", "playground_port": "1"}) == Settings()


def test_the_process_environment_is_read_at_each_call(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_PORT", "8000")
    assert settings().port == 8000
    monkeypatch.setenv("PLAYGROUND_PORT", "8001")
    assert settings().port == 8001
    monkeypatch.delenv("PLAYGROUND_PORT")
    assert settings() == Settings()  # the caller's own variables are gone


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "models", "names"),
    [
        ("mini", "", ("mini",)),
        ("mini", " a, b ,", ("mini", "a", "b")),
        ("mini", "a,mini,a", ("mini", "a")),
    ],
)
def test_the_picker_lists_the_default_first_and_each_once(model, models, names):
    assert Settings(model=model, models=models).model_names == names


def test_override_name():
    assert override_name("max_text_chars") == "PLAYGROUND_MAX_TEXT_CHARS"


def test_another_model_may_open_first():
    given = Settings(models="a, b").with_model("b")
    assert given == Settings(model="b", models="a, b")
    assert given.model_names == ("b", "a")


def test_a_port_above_the_last_one_is_refused():
    with pytest.raises(PlaygroundError, match=r"^PLAYGROUND_PORT is 65536; the most is 65535.$"):
        Settings.from_environment({"PLAYGROUND_PORT": "65536"})


def test_a_text_set_to_nothing_is_not_set():
    assert Settings.from_environment({"PLAYGROUND_MODEL": " "}).model == Settings().model


@pytest.mark.parametrize(
    ("given", "caps"),
    [
        ({}, (100_000, 64 << 20)),
        ({"host": "localhost"}, (100_000, 64 << 20)),
        ({"host": "0.0.0.0"}, (5_000, 4 << 20)),
        ({"hosted": True}, (5_000, 4 << 20)),
        ({"host": "::1", "max_table_rows": 7, "max_table_mb": 1}, (140, 16 << 20)),
    ],
)
def test_tables_may_be_larger_where_nobody_else_is_served(given, caps):
    assert Settings(**given).table_caps == caps


@pytest.mark.parametrize(
    ("given", "caps"),
    [
        ({}, (2_000, 320, 50)),
        ({"host": "0.0.0.0"}, (200, 32, 5)),
        (
            {"hosted": True, "max_tune_steps": 9, "max_tune_shots": 7, "max_tune_seeds": 1},
            (9, 7, 1),
        ),
    ],
)
def test_trainings_may_be_longer_where_nobody_else_is_served(given, caps):
    assert Settings(**given).tune_caps == caps
