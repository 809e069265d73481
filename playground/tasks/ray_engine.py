"""Windows of rows scored on a Ray cluster by Ray Data: many models at work, one file in order.

The table is read beside the caller, its windows stream through a pool of workers that hold one model
each, and come back in the order of the rows. The caller writes them down one by one, so a stopped run
is continued as one on a single machine is, and ends in the same bytes.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

import playground
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt
from playground.settings import Settings
from playground.tasks.reading import Table
from playground.tasks.text_rows import Record
from playground.tasks.windows import Layout, Scorer, Window, cut, score_window

_KNOCK_SECONDS = 5
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anyone
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what matters arrives as an exception
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker on a core sees no GPU
}


@dataclass(frozen=True)
class PromptWorker:
    """What a worker opens: the model by name, hub id or folder, on its own device, and the prompt."""

    model: str | None
    prompt: AnyPrompt
    settings: Settings
    device: str | None = None
    dtype: str | None = None

    def __call__(self) -> Scorer:
        """Return the scorer, its model loaded."""
        from playground.engine import Prompting
        from playground.tasks.score import PromptScorer

        prompting = Prompting(
            self.model,
            device=self.device,
            dtype=self.dtype,
            threads=self.settings.threads or 1,  # a worker is lent one core
            settings=self.settings,
        )
        return PromptScorer(prompting, self.prompt)


@dataclass(frozen=True)
class RayEngine:
    """Scores windows on a Ray cluster, on as many workers as asked for, or as it has room for.

    open_scorer: what each worker calls once for its model. address: of a running cluster, or "auto"
    for the one that this machine belongs to; without it, one is started on this machine for the run.
    gpu: lend each worker one GPU instead of one core. retries: how often a worker that died is replaced,
    and the window that it held is given out again.
    """

    open_scorer: Callable[[], Scorer]
    workers: int | None = None
    address: str | None = None
    gpu: bool = False
    retries: int = 2

    def __post_init__(self) -> None:
        _import_ray()  # told before a model is loaded

    @property
    def mark(self) -> dict[str, Any]:
        """What must be the same for rows of two runs to stand in one file: on cores, nothing more."""
        return {"workers": "cuda"} if self.gpu else {}

    def windows(
        self,
        scorer: Scorer,
        layout: Layout,
        table: Table,
        records: Iterator[Record],
        *,
        start: int,
        stop: int | None,
    ) -> Iterator[Window]:
        """Yield the windows of the rows from ``start`` to ``stop``, scored, in the order of the table.

        The cluster reads the table itself, and no row of ``records``.
        Raises PlaygroundError for a cluster that is not there or has no room, a worker that cannot
        open the model or has another version of it, and one that dies again and again.
        """
        if not table.repeatable:
            raise PlaygroundError(
                f"{table.name} cannot be sent to a cluster; write it to a file first."
            )
        with self._cluster() as (ray, workers):
            source = _Source(table, start, stop, scorer.settings.window_rows)
            same = _identity(scorer)
            try:
                for row in self._dataset(ray, source, layout, same, workers).iter_rows():
                    if row["told"]:
                        raise PlaygroundError(row["told"])
                    lost = tuple(json.loads(row["lost"]))
                    yield Window(row["rows"], row["failed"], row["data"], row["digestible"], lost)
            except ray.exceptions.RayError as error:
                raise PlaygroundError(
                    f"The Ray run broke off ({type(error).__name__}): a worker died or was out of "
                    "reach, for example for want of memory. Run the same command again, perhaps with "
                    "fewer --workers; rows in the file of -o are kept."
                ) from None

    def _dataset(self, ray: Any, source: _Source, layout: Layout, same: str, workers: int) -> Any:
        """Return the stream of scored windows, a block each, not yet begun."""
        here = ray.get_runtime_context().get_node_id()  # where the table lies
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # limits on retries have no other name in this version
            return (
                ray.data.from_items([{"start": source.start}], override_num_blocks=1)
                .map_batches(
                    source, batch_size=None, num_cpus=0, label_selector={"ray.io/node-id": here}
                )
                .map_batches(
                    _Worker,
                    fn_constructor_args=(self.open_scorer, layout, same),
                    batch_size=1,
                    compute=ray.data.ActorPoolStrategy(size=workers),
                    num_cpus=0 if self.gpu else 1,
                    num_gpus=1 if self.gpu else 0,
                    max_restarts=self.retries,
                    max_task_retries=self.retries,
                )
            )

    @contextmanager
    def _cluster(self) -> Iterator[tuple[Any, int]]:
        """Yield Ray, joined to the cluster, and the number of workers; it is left in the end.

        A connection that the caller has open already is used, and stays open.
        """
        ray = _import_ray()
        joined = ray.is_initialized()
        if not joined:
            self._join(ray)
        try:
            from ray.data import DataContext

            logging.getLogger("ray.data").setLevel(logging.CRITICAL)
            context = DataContext.get_current().copy()
            context.execution_options.preserve_order = True
            # a block is what a worker is given; larger ones would hold windows back, then flood one
            context.target_min_block_size = context.target_max_block_size = 1
            context.enable_progress_bars = context.print_on_execution_start = False
            # Ray tells of dead workers on standard output, where the rows may go
            with DataContext.current(context), redirect_stdout(sys.stderr):
                yield ray, self._room(ray.cluster_resources())
        finally:
            if not joined:
                ray.shutdown()

    def _join(self, ray: Any) -> None:
        address = self.address
        options: dict[str, Any] = {"address": address}
        if address is None:
            options = {"address": "local", "include_dashboard": False}
            if self.workers and not self.gpu:
                options["num_cpus"] = self.workers
        else:
            _check_address(address)
        try:
            with _hushed():
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            if address is not None:
                raise _not_there(address) from None
            raise PlaygroundError(
                f"Ray cannot be started on this machine ({type(error).__name__}); start it with "
                "ray start --head, and give --ray-address auto."
            ) from None

    def _room(self, resources: Mapping[str, float]) -> int:
        """Return the number of workers; PlaygroundError if the cluster has no room for them."""
        kind, shown = ("GPU", "GPUs") if self.gpu else ("CPU", "cores")
        most = int(resources.get(kind, 0))
        if most < (self.workers or 1):
            raise PlaygroundError(
                f"The Ray cluster has {most} {shown} and --workers asks for {self.workers or 1}, "
                "one each; ask for fewer."
            )
        return self.workers or most


@dataclass(frozen=True)
class _Source:
    """Reads the table where it lies, window by window, as far as the workers keep up."""

    table: Table
    start: int
    stop: int | None
    rows_at_once: int

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
        records = islice(self.table.records(), self.start, self.stop)
        try:
            for window in cut(records, self.rows_at_once):
                yield {"records": [window], "told": [""]}
        except PlaygroundError as error:  # Ray would keep its sentence to itself
            yield {"records": [[]], "told": [str(error)]}


class _Worker:
    """One process of the cluster with one model, which scores the windows that it is given."""

    def __init__(self, open_scorer: Callable[[], Scorer], layout: Layout, same: str) -> None:
        self.open_scorer, self.layout, self.same = open_scorer, layout, same
        self.scorer: Scorer | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        found, told = Window(0, 0, b"", b""), str(batch["told"][0])
        if not told:
            try:
                if self.scorer is None:  # not before: an error here reaches the caller
                    self.scorer = self._opened()
                found = score_window(self.scorer, self.layout, list(batch["records"][0]))
            except PlaygroundError as error:
                told = str(error)
        return {
            "rows": [found.rows],
            "failed": [found.failed],
            "data": [found.data],
            "digestible": [found.digestible],
            "lost": [json.dumps(found.lost)],
            "told": [told],
        }

    def _opened(self) -> Scorer:
        scorer = self.open_scorer()
        if (own := _identity(scorer)) != self.same:
            raise PlaygroundError(
                f"A worker has {own} and this machine {self.same}; install the same on every machine."
            )
        return scorer


def _identity(scorer: Scorer) -> str:
    """Return versions and model as text: what must not differ between the machines of a run."""
    versions = f"playground {playground.__version__}, torch {torch.__version__.partition('+')[0]}"
    name, revision, *_ = scorer.fingerprint()["model"]
    return f"{versions}, {name} ({revision})"


def _check_address(address: str) -> None:
    """Raise PlaygroundError for an address that nobody listens at: Ray itself would wait for minutes."""
    if "://" in address:
        raise PlaygroundError(
            f"The Ray address {shorten(address)} is that of a client; run the command on a machine of "
            "the cluster, with --ray-address auto."
        )
    host, _, port = address.rpartition(":")
    if not host and address in ("auto", "local"):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        raise _not_there(address) from None


def _not_there(address: str) -> PlaygroundError:
    return PlaygroundError(
        f"There is no Ray cluster at {shorten(address)}; start one with ray start --head, or leave "
        "out --ray-address."
    )


def _import_ray() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise PlaygroundError(
            "--engine ray needs Ray; install the project with its ray extra."
        ) from None
    return ray


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep standard error closed while Ray's own core, which no logger reaches, tells of its start."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
