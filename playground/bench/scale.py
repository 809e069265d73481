"""What a row costs as rows grow: time a row and memory, each number of rows in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from playground.bench.report import Cell, Table
from playground.bench.sentences import sentences

ROWS = (1_000, 4_000, 16_000)


def cost_of_rows(model: str | None = None) -> Table:
    """Stream more and more short texts through ``classify_stream``; time a row and peak memory."""
    rows: list[tuple[Cell, ...]] = []
    for count in ROWS:
        # a fresh process, since memory that was used once counts into its peak for good
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            milliseconds, loaded, peak = pool.submit(_stream, model, count).result()
        first = rows[0][1] if rows else milliseconds
        rows.append(
            (f"{count:,} rows", milliseconds, milliseconds / float(first or 1), peak, peak - loaded)
        )
    columns = {
        "": "",
        "ms a row": ".3f",
        "of the first": ".0%",
        "peak MiB": ".0f",
        "for scoring": ".0f",
    }
    notes = ("Short texts from a generator; scoring holds one window of rows at a time.",)
    return Table("Cost against rows, classify_stream", columns, tuple(rows), notes)


def _stream(model: str | None, count: int) -> tuple[float, float, float]:
    """Return CPU milliseconds a row, MiB with the model loaded, and peak MiB; runs in a child."""
    import torch

    from playground import Prompt, Prompting

    torch.set_num_threads(1)
    prompting = Prompting(model, device="cpu", dtype="float32")
    prompt = Prompt.load("sentiment")
    prompting.classify(list(islice(sentences(1), 50)), prompt, words=False)
    loaded = _peak_memory()
    spent = []
    for _ in range(3 if count == ROWS[0] else 1):  # a second of work is too short to trust once
        start = time.process_time()
        rows = sum(1 for _ in prompting.classify_stream(islice(sentences(0), count), prompt))
        spent.append((time.process_time() - start) / rows * 1e3)
    return statistics.median(spent), loaded, _peak_memory()


def _peak_memory() -> float:
    """Return the peak resident memory of this process, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # not on Windows, where nothing better is at hand
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
