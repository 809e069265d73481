"""What every test stands on: no network, one thread, none of the caller's settings, one model."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # torch reads them when it is loaded
    os.environ[_variable] = "1"
for _variable in [name for name in os.environ if name.startswith("PLAYGROUND_")]:
    del os.environ[_variable]
os.environ.pop("SPACE_ID", None)

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# the same examples in every run; time is judged in the tests, as CPU time
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try what a browser shows up to twice more: on a busy machine a page may be late for its test."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def prompting():
    """The shipped model on one thread, loaded once; it is frozen, so tests share it."""
    from playground import Prompting

    return Prompting(threads=1)
