import keras
import pytest


@pytest.fixture
def zeros(monkeypatch):
    """Weights of zero where their values do not matter: random ones take most of the time."""
    monkeypatch.setattr(
        keras.initializers.VarianceScaling,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )
