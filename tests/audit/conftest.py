import pytest

from xraylib import errors
from xraylib.audit import shortcuts


@pytest.fixture
def no_models(monkeypatch):
    """Leaves out the two baselines, most of an audit's time, where a test does not need them."""

    def refuse(*_, **__):
        raise errors.TooFewPatientsError("left out")

    monkeypatch.setattr(shortcuts, "baseline", refuse)
