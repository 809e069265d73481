"""Processes of their own for runs that are killed or measured, forked from one that has torch loaded."""

from __future__ import annotations

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["playground.tasks.tuning.pet", "datasets", "transformers.models.bert.modeling_bert", "pytest"]
)
