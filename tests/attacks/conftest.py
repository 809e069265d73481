"""The app that is attacked, and a stranger at its page."""

from tests.app.driver import arrive, browser, desk, truth, visitor  # noqa: F401
from tests.app.serving import site  # noqa: F401
