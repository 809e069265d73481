"""The Train tab as visitors use it: trains, stops, uses it elsewhere, takes it away, and stays alone."""

from __future__ import annotations

import re
import tempfile
import uuid
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from playground.engine.tuning.files import delta_from_bytes
from playground.settings import Settings
from tests.app.driver import PATIENCE, Visitor
from tests.app.looks import WATCH_SHIFTS, barriers, spilled
from tests.app.serving import Site, served

pytestmark = pytest.mark.browser

SLOW = 8 * PATIENCE
TYPED = "\n".join(
    f"{label}: {text}"
    for k in range(4)
    for label, text in (
        ("positive", f"A fine and happy day, {k}."),
        ("negative", f"A sad, dull day, {k}."),
    )
)


def arrives(visitor: Visitor) -> Visitor:
    visitor.tab("Train")
    visitor.page.locator("#train-run").wait_for()
    visitor.page.locator("#train-estimate").get_by_text("parameters").wait_for(timeout=SLOW)
    return visitor


@pytest.fixture
def trainer(visitor) -> Visitor:
    return arrives(visitor)


def number(visitor: Visitor, box: str, value: object) -> None:
    visitor.page.locator(f"#train-{box} input").fill(str(value))


def method(visitor: Visitor, name: str) -> None:
    visitor.page.locator("#train-method").get_by_text(name, exact=True).click()


def types_rows(visitor: Visitor, rows: str = TYPED, measured_on: str = "nothing") -> None:
    """Take typed rows, which are few, and measure on nothing: the shortest training there is."""
    visitor.choose("train-source", "typed below")
    visitor.page.locator("#train-typed textarea").wait_for()
    visitor.box("train-typed").fill(rows)
    visitor.choose("train-measured-on", measured_on)


def train(visitor: Visitor) -> None:
    visitor.page.locator("#train-run").click()
    visitor.page.locator("#train-use").wait_for(timeout=SLOW)


def short(visitor: Visitor, how: str = "linear", steps: int = 4) -> None:
    types_rows(visitor)
    method(visitor, how)
    number(visitor, "steps", steps)
    train(visitor)


def state(visitor: Visitor) -> str:
    return visitor.page.locator("#train-result .pp-state").text_content()


def after(visitor: Visitor) -> dict[str, str]:
    """Return the bars of the text of Classify after tuning, which may be painted after the buttons."""
    visitor.page.locator("#train-result .pp-before-after").wait_for(timeout=PATIENCE)
    return visitor.bars("#train-result .pp-before-after > div:last-child")


def picked(visitor: Visitor) -> str:
    return visitor.page.locator("#model input").input_value()


def offered(visitor: Visitor) -> list[str]:
    visitor.page.locator("#model input").click()
    names = visitor.page.get_by_role("option").all_text_contents()
    visitor.page.keyboard.press("Escape")
    return [name.replace("✓", "").strip() for name in names]


def test_a_few_reviews_are_tuned_on_measured_and_used(trainer, truth):
    page = trainer.page
    number(trainer, "shots", 8)
    number(trainer, "steps", 60)
    page.locator("#train-run").click()
    page.wait_for_function(
        "document.querySelectorAll('#train-result .pp-train')[0]?.points.length > 1", timeout=SLOW
    )
    assert re.search(r"step \d+ of 60 · loss \d\.\d{3}", state(trainer))
    page.evaluate(WATCH_SHIFTS)
    page.locator("#train-result").get_by_text("measuring what was kept").wait_for(timeout=SLOW)
    assert page.evaluate("window.shifted") < 0.02
    page.locator("#train-use").wait_for(timeout=SLOW)
    assert state(trainer).startswith("Done after step 60. Step ")
    lines = page.locator("#train-result .pp-measured tbody tr").all_text_contents()
    assert [line.split(" ")[0].split(",")[0][:9] for line in lines] == [
        "zero-shot",
        "zero-shot",
        "lora",
    ]
    assert all(re.search(r"\d\d\.\d % ?\d\d\.\d % to \d\d\.\d %", line) for line in lines)
    told = page.locator("#train-estimate").text_content()
    assert re.search(
        r"32,768 parameters \(0\.39 % of the model's\) are tuned\. It takes about .+ MiB", told
    )
    trainer.open_fold("train-rows")
    expect(page.locator("#train-drawn tbody tr")).to_have_count(32, timeout=PATIENCE)
    wanted = after(trainer)
    page.locator("#train-use").click()
    trainer.until(wanted)
    assert picked(trainer) == "tuned: lora, 8 shots, seed 0"
    expect(page.locator("#model-status")).to_contain_text(
        "· tuned: lora, 8 shots, seed 0", timeout=SLOW
    )
    trainer.choose("model", "playground-mini")
    trainer.until(truth(calibration="none"))
    trainer.choose("model", "tuned: lora, 8 shots, seed 0")
    trainer.until(wanted)
    page.locator("#classify-text textarea").fill("What a day.")
    page.wait_for_function("window.location", timeout=PATIENCE)
    page.locator("#classify-link").click()
    notice = page.locator("#classify-notice")
    expect(notice).to_contain_text(
        "It opens playground-mini itself: what you tuned", timeout=PATIENCE
    )
    page.locator("#classify-python").click()
    page.locator("#classify-code .cm-line").first.wait_for(timeout=PATIENCE)
    program = trainer.clipboard()
    assert "prompting = Prompting().tuned('delta.safetensors')" in program
    assert "tuned:" not in program
    link = page.url
    opened = trainer.open(link.partition("/?")[2] and f"?{link.partition('/?')[2]}")
    opened.until(truth(text="What a day.", calibration="none"))
    assert picked(opened) == "playground-mini"


def test_it_is_stopped_and_keeps_its_best(trainer):
    types_rows(trainer)
    number(trainer, "steps", 1500)
    trainer.page.locator("#train-run").click()
    trainer.page.locator("#train-result").get_by_text(re.compile(r"step [1-9]")).wait_for(
        timeout=SLOW
    )
    trainer.page.locator("#train-stop").click()
    trainer.page.locator("#train-use").wait_for(timeout=PATIENCE)
    assert state(trainer).startswith("Stopped after step ")
    assert (
        trainer.page.locator("#train-stop").count() == 0
        or trainer.page.locator("#train-stop").is_hidden()
    )
    assert "Nothing is measured" in trainer.page.locator("#train-result").text_content()


def test_a_head_works_in_classify_with_a_remark(trainer):
    short(trainer, "cls")
    wanted = after(trainer)
    trainer.page.locator("#train-use").click()
    trainer.until(wanted)
    told = trainer.page.locator("#classify-details").text_content()
    assert "tuned with the method cls, which has a head of its own at [CLS]" in told
    assert trainer.said() == ""
    trainer.page.locator("#classify-csv").click()
    expect(trainer.page.locator("#classify-notice")).to_contain_text("no label words to explain")


def test_soft_tokens_are_given_and_that_is_said(trainer):
    method(trainer, "soft")
    remark = trainer.page.locator("#train-estimate .pp-remark")
    expect(remark).to_contain_text(
        "so {soft:4} {text} It was {mask}. is tuned in its place", timeout=SLOW
    )
    short(trainer, "soft")
    wanted = after(trainer)
    trainer.page.locator("#train-use").click()
    trainer.until(wanted)
    assert trainer.value("classify-template") == "{soft:4} {text} It was {mask}."


def test_what_is_wrong_with_a_typed_row_is_said(trainer):
    types_rows(trainer, "positive: fine\nsomething else")
    trainer.page.locator("#train-run").click()
    trainer.page.locator("#train-notice .pp-error").wait_for(timeout=PATIENCE)
    assert trainer.said("#train-notice .pp-error").startswith(
        'Line 2 of the typed rows is "something else"; write a label (positive, negative), a colon'
    )
    expect(trainer.page.locator("#train-run")).to_be_enabled()


def test_it_is_downloaded_and_opened_again_by_another(trainer, arrive, tmp_path):
    cache = Path(tempfile.gettempdir()) / "gradio"
    before = set(cache.rglob("*")) if cache.exists() else set()
    short(trainer, "bias")
    asked: list[str] = []
    trainer.page.on("request", lambda request: asked.append(request.url))
    with trainer.page.expect_download() as saved:
        trainer.page.locator("#train-save").click()
    assert saved.value.suggested_filename == "delta.safetensors"
    path = tmp_path / "delta.safetensors"
    saved.value.save_as(path)
    # it came with the answer to the click: no address leads to it, and the server has no file of it
    assert not [url for url in asked if "file" in url.lower()]
    assert saved.value.url.startswith("blob:")
    assert (set(cache.rglob("*")) if cache.exists() else set()) == before
    delta = delta_from_bytes(path.read_bytes())
    assert (delta.method, delta.base) == ("bias", "playground-mini")
    with trainer.page.expect_download() as card:
        trainer.page.locator("#train-card").click()
    assert "# A tuned prompt" in card.value.path().read_text("utf-8")
    other = arrives(arrive())
    other.page.locator("#train-file input[type=file]").set_input_files(path)
    other.page.locator("#train-use").wait_for(timeout=SLOW)
    heading = other.page.get_by_role("heading", name="Opened: tuned: bias, 3 shots, seed 0")
    heading.wait_for(timeout=PATIENCE)
    assert after(other) == after(trainer)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"\x80\x04cos\nsystem\n(S'x'\ntR.",
            "The file is no delta of this version; make it again with",
        ),
        (b"PK\x03\x04" + b"0" * 500, "The file is no delta of this version; make it again with"),
    ],
)
def test_a_file_that_is_no_delta_is_refused(trainer, content, sentence):
    file = {"name": "x.safetensors", "mimeType": "application/octet-stream", "buffer": content}
    trainer.page.locator("#train-file input[type=file]").set_input_files(files=[file])
    error = trainer.page.locator("#train-notice .pp-error")
    expect(error).to_contain_text(sentence, timeout=PATIENCE)
    assert trainer.page.locator("#train-use").count() == 0


def press(site: Site, button: str, data: list) -> str:
    """Press a button as a program of nobody's page would; return all that the server answers."""
    with httpx.Client(timeout=60, verify=False) as client:  # plain HTTP: nothing to verify
        config = client.get(f"{site.url}/config").json()
        ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        calls = [d for d in config["dependencies"] if [ids[button], "click"] in d["targets"]]
        first = {call["id"] for call in calls}
        calls += [d for d in config["dependencies"] if d["trigger_after"] in first]
        session, answers = uuid.uuid4().hex, []
        for call in calls:
            values = [*data, *[None] * (len(call["inputs"]) - len(data))]
            body = {"fn_index": call["id"], "data": values, "session_hash": session}
            client.post(f"{site.url}/gradio_api/queue/join", json=body).raise_for_status()
            address = f"{site.url}/gradio_api/queue/data?session_hash={session}"
            with client.stream("GET", address) as told:
                for line in told.iter_lines():
                    answers.append(line)
                    if "process_completed" in line:
                        break
        return "\n".join(answers)


def test_what_one_visitor_tunes_is_no_others(trainer, arrive, site):
    short(trainer)
    trainer.page.locator("#train-use").click()
    title = "tuned: linear, 3 shots, seed 0"
    trainer.page.wait_for_function(
        "(t) => document.querySelector('#model input').value === t", arg=title, timeout=PATIENCE
    )
    assert title in offered(trainer)
    other = arrive()
    assert not [name for name in offered(other) if name.startswith("tuned")]
    assert picked(other) == "playground-mini"
    # a name that is guessed opens nothing, neither on the page nor for a program
    box = other.page.locator("#model input")
    box.fill("tuned:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    box.press("Enter")
    expect(other.page.locator("#classify-notice")).to_contain_text(
        "This tuned model is gone from the page's memory", timeout=PATIENCE
    )
    for guess in ("tuned:", "tuned:AAAA", title):
        kind, _ = site.call(
            "classify", ["x", "{text} {mask}", "a: good\nb: bad", "", "mean", "none", guess]
        )
        assert kind == "error"
    for button in ("train-save", "train-card"):
        told = press(site, button, [{"name": "tuned:AAAA"}])
        assert "base64" not in told
        assert "Nothing has been trained on this page yet" in told


def test_one_who_trains_later_sees_the_place_in_line(trainer, arrive):
    types_rows(trainer)
    number(trainer, "steps", 1500)
    trainer.page.locator("#train-run").click()
    trainer.page.locator("#train-result").get_by_text(re.compile(r"step [1-9]")).wait_for(
        timeout=SLOW
    )
    other = arrive()
    other.tab("Train")
    busy = other.page.locator("#train-estimate")
    expect(busy).to_contain_text("A training runs just now", timeout=PATIENCE)
    types_rows(other)
    number(other, "steps", 2)
    other.page.locator("#train-run").click()
    expect(other.page.locator("#train-result")).to_contain_text(
        "You are second in line.", timeout=PATIENCE
    )
    # the bars of others move all the while
    seq = other.seq()
    other.tab("Classify")
    other.box("classify-text").fill("Meanwhile.")
    other.until_new(seq)
    trainer.leave()  # a page that is left trains no more
    other.tab("Train")
    other.page.locator("#train-use").wait_for(timeout=SLOW)
    assert state(other).startswith("Done after step 2.")


def test_it_is_forgotten(trainer, truth):
    short(trainer)
    trainer.page.locator("#train-use").click()
    trainer.page.locator("#classify-details").get_by_text("None: this model was tuned").wait_for()
    trainer.tab("Train")
    trainer.page.locator("#train-forget").click()
    trainer.page.wait_for_function(
        "document.querySelector('#model input').value === 'playground-mini'", timeout=PATIENCE
    )
    trainer.tab("Classify")
    trainer.until(truth(calibration="none"))
    assert not [name for name in offered(trainer) if name.startswith("tuned")]


def test_a_stranger_on_a_hosted_page_uses_what_he_tuned(arrive):
    with served(hosted="1", max_tune_steps="30") as site:
        stranger = arrives(arrive(url=site.url))
        types_rows(stranger)
        number(stranger, "steps", 31)
        stranger.page.locator("#train-run").click()
        error = stranger.page.locator("#train-notice .pp-error")
        expect(error).to_contain_text(
            "Steps is 31; it must be a whole number from 1 to 30.", timeout=SLOW
        )
        number(stranger, "steps", 3)
        method(stranger, "linear")
        train(stranger)
        wanted = after(stranger)
        stranger.page.locator("#train-use").click()
        stranger.until(wanted)
        assert offered(stranger) == [*Settings().model_names, "tuned: linear, 3 shots, seed 0"]
        stranger.tab("Compare")  # whose columns take the model of the page
        stranger.page.locator("#compare-model-a input").wait_for()
        stranger.page.wait_for_function(
            "document.querySelector('#compare-model-a input').value.startsWith('tuned')",
            timeout=PATIENCE,
        )
        stranger.leave()  # before the server goes, which would be a problem of the page


def test_the_tab_has_no_barrier(visitor):
    arrives(visitor)
    assert barriers(visitor) == []
    visitor.open_fold("train-more")
    types_rows(visitor, measured_on="our 200 reviews")
    method(visitor, "linear")
    number(visitor, "steps", 3)
    number(visitor, "seeds", 2)
    train(visitor)
    visitor.open_fold("train-rows")
    visitor.open_fold("train-python")
    visitor.page.locator("#train-code .cm-line").get_by_text("fine_tune").first.wait_for(
        timeout=PATIENCE
    )
    assert barriers(visitor) == []


def test_nothing_spills_on_a_phone(arrive):
    phone = arrive(width=390, height=844)
    arrives(phone)
    phone.open_fold("train-more")
    types_rows(phone, f"positive: {'w' * 300}\nnegative: x", measured_on="our 200 reviews")
    method(phone, "linear")
    number(phone, "steps", 2)
    train(phone)
    phone.open_fold("train-rows")
    phone.open_fold("train-python")
    phone.page.locator("#train-code .cm-line").first.wait_for(timeout=PATIENCE)
    assert spilled(phone, 390) == []
