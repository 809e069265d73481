"""Ray Data: the bytes of one machine, whatever dies on the way. Real clusters of two workers."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from playground import Prompt, Prompting, Template, Verbalizer
from playground.cli import main
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.ray_engine import PromptWorker, RayEngine
from playground.tasks.reading import read_file, read_stream
from playground.tasks.score import PromptScorer, score_table
from tests.engine import tiny

ray = pytest.importorskip("ray", reason="the extra ray is not installed")

ROOT = Path(__file__).resolve().parents[2]
WINDOW = 8
SMALL = replace(Settings(), window_rows=WINDOW)
LINES = [
    *(
        json.dumps({"id": i, "text": f"I like the film {'very ' * (i % 5)}much."})
        for i in range(20)
    ),
    "no json",
    json.dumps({"id": 21, "text": 5}),
    json.dumps({"id": 22}),
    *(
        json.dumps({"id": i, "text": f"It was awful, é\u2028{i}", "more": [i]})
        for i in range(23, 50)
    ),
]


@pytest.fixture(scope="module")
def cluster():
    """Two cores of this machine, as a cluster that stays for all tests here."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        logging_level="CRITICAL",
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(tiny.save("bert", tmp_path_factory.mktemp("models") / "tiny-bert"))


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    return Prompt(
        Template("{text} It was {mask}."), Verbalizer({"positive": ["great"], "negative": ["bad"]})
    )


@pytest.fixture
def rows(tmp_path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return str(path)


class Stopped(BaseException):
    """Stops a run where a kill would."""


@dataclass(frozen=True)
class Mortal:
    """Opens a real scorer in a worker that dies at the row "die", unless its will says otherwise."""

    worker: PromptWorker
    will: str | None = None

    def __call__(self):
        return MortalScorer(**vars(self.worker()), will=self.will)


@dataclass(frozen=True)
class MortalScorer(PromptScorer):
    will: str | None = None

    def score(self, rows, progress):
        if any(row["text"] == "die" for row in rows):
            if self.will is None:
                os._exit(1)
            if not Path(self.will).exists():
                Path(self.will).write_text("died once")
                os._exit(1)
        return super().score(rows, progress)


def scorer_of(model, prompt) -> PromptScorer:
    return PromptScorer(Prompting(model, device="cpu", threads=1, settings=SMALL), prompt)


def worker_of(model, prompt) -> PromptWorker:
    return PromptWorker(model, prompt, SMALL, "cpu")


# ---- the same bytes -------------------------------------------------------------------------------


def test_a_stopped_run_ends_in_the_bytes_of_one_machine(cluster, folder, prompt, rows, tmp_path):
    scorer = scorer_of(folder, prompt)
    own = score_table(scorer, read_file(rows), tmp_path / "own.csv")
    out, engine = tmp_path / "o.csv", RayEngine(worker_of(folder, prompt), workers=2)

    def stop(done: int) -> None:
        if done >= 3 * WINDOW:
            raise Stopped

    with pytest.raises(Stopped):
        score_table(scorer, read_file(rows), out, engine=engine, progress=stop)
    assert not out.exists()
    said: list[str] = []
    found = score_table(scorer, read_file(rows), out, engine=engine, notify=said.append)
    assert said == [f'Continuing "{out}": {2 * WINDOW} rows were done before.']
    assert (found.rows, found.failed, found.lost_fields) == (50, 3, own.lost_fields)
    assert found.resumed == 2 * WINDOW
    assert out.read_bytes() == (tmp_path / "own.csv").read_bytes()


def test_a_stream_with_a_limit_and_mapped_columns_is_the_same(cluster, prompt, rows, tmp_path):
    """The shipped model, and what one machine began, a cluster ends."""
    scorer = scorer_of(None, prompt)
    engine = RayEngine(worker_of(None, prompt), workers=2)
    own, found = io.BytesIO(), io.BytesIO()
    score_table(scorer, read_file(rows), own, limit=30, format="csv")
    seen: list[int] = []
    score_table(
        scorer, read_file(rows), found, limit=30, format="csv", engine=engine, progress=seen.append
    )
    assert found.getvalue() == own.getvalue()
    assert seen == [8, 16, 24, 30]


# ---- what goes wrong ------------------------------------------------------------------------------


def with_death(tmp_path, rows: int) -> str:
    path = tmp_path / "death.jsonl"
    texts = [f"row {i}" for i in range(rows - 1)] + ["die"]
    path.write_text("".join(f"{json.dumps({'text': t})}\n" for t in texts), encoding="utf-8")
    return str(path)


def test_a_worker_that_dies_is_replaced(cluster, folder, prompt, tmp_path):
    path, scorer = with_death(tmp_path, 20), scorer_of(folder, prompt)
    mortal = Mortal(worker_of(folder, prompt), str(tmp_path / "will"))
    own, found = io.BytesIO(), io.BytesIO()
    score_table(scorer, read_file(path), own)
    score_table(scorer, read_file(path), found, engine=RayEngine(mortal, workers=1))
    assert (tmp_path / "will").exists()
    assert found.getvalue() == own.getvalue()


def test_a_worker_that_dies_again_and_again_is_told_and_nothing_is_lost(
    cluster, folder, prompt, tmp_path
):
    path, scorer, out = with_death(tmp_path, 20), scorer_of(folder, prompt), tmp_path / "o.csv"
    score_table(scorer, read_file(path), tmp_path / "own.csv")
    engine = RayEngine(Mortal(worker_of(folder, prompt)), workers=1, retries=1)
    with pytest.raises(PlaygroundError, match=r"^The Ray run broke off \(\w+\): a worker died"):
        score_table(scorer, read_file(path), out, engine=engine)
    done = json.loads((tmp_path / "o.csv.partial.json").read_text())["rows"]
    assert done in (WINDOW, 2 * WINDOW)
    assert score_table(scorer, read_file(path), out).resumed == done
    assert out.read_bytes() == (tmp_path / "own.csv").read_bytes()


def test_a_worker_that_cannot_open_the_model_says_so(cluster, folder, prompt, rows, tmp_path):
    engine = RayEngine(worker_of(str(tmp_path / "nowhere"), prompt), workers=1)
    with pytest.raises(PlaygroundError, match=r"nowhere"):
        score_table(scorer_of(folder, prompt), read_file(rows), io.BytesIO(), engine=engine)


def test_an_input_that_breaks_off_is_told(cluster, folder, prompt, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text\n" + b"good\n" * 20_000 + b"caf\xe9\n")
    engine = RayEngine(worker_of(folder, prompt), workers=1)
    scorer = scorer_of(folder, prompt)
    with pytest.raises(
        PlaygroundError, match=r"is not utf-8 text \(byte 0xe9\); give its encoding"
    ):
        score_table(scorer, read_file(str(path)), io.BytesIO(), engine=engine)


def test_a_worker_with_another_model_is_refused(cluster, folder, prompt, rows):
    engine = RayEngine(worker_of(None, prompt), workers=1)
    with pytest.raises(PlaygroundError, match=r"^A worker has playground .*install the same on"):
        score_table(scorer_of(folder, prompt), read_file(rows), io.BytesIO(), engine=engine)


def test_more_workers_than_there_is_room_for_are_refused(cluster, folder, prompt, rows):
    message = r"^The Ray cluster has 2 cores and --workers asks for 3, one each; ask for fewer\.$"
    with pytest.raises(PlaygroundError, match=message):
        score_table(
            scorer_of(folder, prompt), read_file(rows), io.BytesIO(),
            engine=RayEngine(worker_of(folder, prompt), workers=3),
        )  # fmt: skip
    with pytest.raises(PlaygroundError, match=r"^The Ray cluster has 0 GPUs"):
        score_table(
            scorer_of(folder, prompt), read_file(rows), io.BytesIO(),
            engine=RayEngine(worker_of(folder, prompt), gpu=True),
        )  # fmt: skip


def test_standard_input_is_refused(folder, prompt):
    table = read_stream(io.BytesIO(b"text\ngood\n"), format="csv")
    engine = RayEngine(worker_of(folder, prompt))
    with pytest.raises(
        PlaygroundError, match=r"^Standard input cannot be sent to a cluster; write"
    ):
        score_table(scorer_of(folder, prompt), table, io.BytesIO(), engine=engine)


# ---- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--workers", "2"],
            "--workers and --ray-address belong to --engine ray; add it, or leave",
        ),
        (["--engine", "ray", "--device", "mps"], '--engine ray works on cpu or cuda, not on "mps"'),
        (
            ["--engine", "ray", "--ray-address", "ray://there:10001"],
            'The Ray address "ray://there:10001" is that of a client; run the command on a machine',
        ),
        (["--engine", "ray", "--ray-address", "here"], 'There is no Ray cluster at "here"; start'),
        (
            ["--engine", "ray", "--ray-address", "CLOSED"],
            "start one with ray start --head, or leave",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(rows, capsys, arguments, sentence):
    if ray.is_initialized():  # a connection that is open would be used
        ray.shutdown()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    given = [address if word == "CLOSED" else word for word in arguments]
    start = time.monotonic()
    assert main(["score", rows, "--prompt", "sentiment", *given]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert time.monotonic() - start < 30


def test_without_ray_the_extra_is_named(rows, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["score", rows, "--prompt", "sentiment", "--engine", "ray"]) == 2
    told = capsys.readouterr().err
    assert told == "playground: --engine ray needs Ray; install the project with its ray extra.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_command_is_continued_to_the_same_bytes(prompt, tmp_path):
    """The shipped model in a cluster of the command's own, which goes with it."""
    path, out = tmp_path / "rows.jsonl", tmp_path / "o.csv"
    path.write_text("".join(f"{json.dumps({'text': f'I like it, {i}.'})}\n" for i in range(1_200)))
    score_table(scorer_of(None, prompt), read_file(str(path)), tmp_path / "own.csv")
    prompt.save(tmp_path / "card.json")
    command = [
        sys.executable, "-m", "playground", "score", str(path), "--prompt", str(tmp_path / "card.json"),
        "-o", str(out), "--engine", "ray", "--workers", "2",
    ]  # fmt: skip
    environment = os.environ | {"PLAYGROUND_WINDOW_ROWS": str(WINDOW), "PLAYGROUND_THREADS": "1"}
    journal = tmp_path / "o.csv.partial.json"

    def done() -> int:
        return json.loads(journal.read_text())["rows"] if journal.exists() else 0

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    process, end = start(), time.monotonic() + 180
    while done() < 40 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert 40 <= (kept := done()) < 1_200
    _, told = start().communicate(timeout=300)
    assert told.startswith(f'playground: Continuing "{out}": {kept:,} rows were done before.\n')
    assert told.count("\n") == 2, "the core of Ray, its logs and its warnings are not heard"
    assert out.read_bytes() == (tmp_path / "own.csv").read_bytes()
