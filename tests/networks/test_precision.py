import re
import warnings

import keras
import pytest
from support.trainings import assert_same, batches, network, train

from xraylib import machine
from xraylib.networks import precision
from xraylib.networks.precision import Computation

PLAIN, COMPILED, BFLOAT16 = Computation(), Computation(compiled=True), Computation("bfloat16")
of_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="about TensorFlow's compiler"
)


# ------------------------------------------------------------------ choose


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def no_gpu(monkeypatch, flags):
    """A processor with these flags."""
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [])
    native = bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))
    said = "the processor is not known to have instructions for bfloat16"
    monkeypatch.setattr(machine, "native_bfloat16", lambda: (native, said))


def much_work(monkeypatch):
    """Every network has so much to multiply that training takes hours."""
    monkeypatch.setattr(precision, "_multiplications", lambda model: 1e12)


def timed(monkeypatch, seconds):
    """Instead of a trial, these seconds for the plain way, bfloat16 and the compiler."""
    trials = []

    def measure(model, ways, pixels, labels):
        trials.append((len(pixels), labels is not None))
        return {way: seconds[str(way)] for way in ways}

    monkeypatch.setattr(precision, "_measured", measure)
    return trials


def choose(model=None, *, epochs=10, **more):
    return precision.choose(model or network(), batches(32), epochs=epochs, **more)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(precision):
    assert choose(precision=precision) == (Computation(precision), "as asked for")


def test_an_unknown_precision():
    said = 'precision must be "auto", "float32" or "bfloat16". Received: \'float16\''
    with pytest.raises(ValueError, match=re.escape(said)):
        choose(precision="float16")


@of_tensorflow
@pytest.mark.parametrize(
    ("flags", "asked", "warns"),
    [
        ("avx2", None, True),
        ("avx2", "1", False),  # and so wherever xraylib came first
        ("avx2 avx512_vnni", None, False),  # TensorFlow's own choice
        ("neon", None, False),
    ],
)
def test_tensorflow_loaded_before_xraylib(monkeypatch, flags, asked, warns):
    no_gpu(monkeypatch, flags)
    monkeypatch.setattr(machine, "instructions", lambda: set(flags.split()))
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if asked:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", asked)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choose(precision="float32")
    said = ["import xraylib before keras" in str(warning.message) for warning in caught]
    assert any(said) == warns


def test_little_work_is_not_tried(monkeypatch, own_cache):
    no_gpu(monkeypatch, "amx_bf16")
    trials = timed(monkeypatch, {})
    assert choose() == (PLAIN, "too little work for a trial of bfloat16")
    assert not trials
    assert not own_cache.exists()


@of_tensorflow
@pytest.mark.parametrize(
    ("flags", "seconds", "ways"),
    [
        ("", 1e6, [PLAIN, COMPILED]),
        ("", 599, [PLAIN]),
        ("amx_bf16", 19, [PLAIN]),
        ("amx_bf16", 20, [PLAIN, BFLOAT16]),
        ("amx_bf16", 600, [PLAIN, BFLOAT16, COMPILED]),
    ],
)
def test_what_is_tried(monkeypatch, flags, seconds, ways):
    no_gpu(monkeypatch, flags)
    assert precision._ways("auto", seconds)[0] == ways


@of_tensorflow
def test_work_by_hand(monkeypatch, own_cache):
    # 32 images a batch of 8, 5 epochs, 1e10 each, at 8e9 on each of 2 cores: 100 s; and 5 times
    # 1.2e11 for 1200 s. Scored once, a third of an epoch: 80 s.
    no_gpu(monkeypatch, "")
    monkeypatch.setattr(precision, "_cores", lambda: 2)
    asked = []
    monkeypatch.setattr(
        precision, "_ways", lambda precision, seconds: (asked.append(seconds) or [PLAIN], "")
    )
    for multiplications, epochs in ((1e10, 5), (1.2e11, 5), (1.2e11, None)):
        monkeypatch.setattr(precision, "_multiplications", lambda model, m=multiplications: m)
        choose(epochs=epochs)
    assert asked == pytest.approx([100, 1200, 80])


@of_tensorflow
@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ((1.0, 2.0, 3.0), PLAIN),
        ((1.0, 0.9, 0.88), PLAIN),  # less than 15 % is chance
        ((1.0, 0.86, 0.88), BFLOAT16),
        ((1.0, 0.8, 0.5), COMPILED),
        ((1.0, float("inf"), 2.0), PLAIN),
        ((float("inf"), float("inf"), float("inf")), PLAIN),
    ],
)
def test_the_fastest_is_taken_by_a_clear_margin(monkeypatch, own_cache, seconds, chosen):
    no_gpu(monkeypatch, "amx_bf16")
    much_work(monkeypatch)
    names = ("float32", "bfloat16", "float32, compiled")
    trials = timed(monkeypatch, dict(zip(names, seconds, strict=True)))
    first = choose()
    assert first[0] == chosen
    # What decided once decides again, whatever would be measured now.
    timed(monkeypatch, dict.fromkeys(names, 1.0))
    assert choose() == first
    assert trials == [(1, True)]


@of_tensorflow
def test_scoring_is_another_trial(monkeypatch, own_cache):
    no_gpu(monkeypatch, "")
    much_work(monkeypatch)
    trials = timed(monkeypatch, {"float32": 1.0, "float32, compiled": 0.5})
    choose()
    choose(epochs=None)
    choose(network(units=5))
    choose(epochs=20)
    assert trials == [(1, True), (1, False), (1, True)]


@of_tensorflow
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"seconds": {"float32": "quick"}}'])
def test_a_damaged_memory_is_measured_again(monkeypatch, own_cache, content):
    no_gpu(monkeypatch, "")
    much_work(monkeypatch)
    trials = timed(monkeypatch, {"float32": 1.0, "float32, compiled": 0.5})
    choose()
    (path,) = own_cache.glob("precision/*.json")
    path.write_text(content)
    assert choose()[0] == choose()[0] == COMPILED
    assert len(trials) == 2


@of_tensorflow
def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    no_gpu(monkeypatch, "")
    much_work(monkeypatch)
    trials = timed(monkeypatch, {"float32": 1.0, "float32, compiled": 0.5})
    (tmp_path / "file").touch()
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "file"))
    assert choose()[0] == choose()[0] == COMPILED
    assert len(trials) == 2


@of_tensorflow
def test_who_measured_first_decides_for_both(monkeypatch, own_cache):
    about = {"ways": ["float32"]}
    assert precision._remember(about, {"float32": 1.0}) == {"float32": 1.0}
    assert precision._remember(about, {"float32": 2.0}) == {"float32": 1.0}


def test_a_trial_leaves_no_trace(monkeypatch, own_cache, tmp_path):
    measured = precision._measured(network(), [PLAIN, BFLOAT16, COMPILED], *batches(8)[0])
    assert set(measured) == {PLAIN, BFLOAT16, COMPILED}
    assert all(0 < seconds < 60 for seconds in measured.values())
    # Weights, dropout's state and what else there is: the training after it is the same.
    trials = []
    measure = precision._measured

    def plain_is_fastest(model, ways, pixels, labels):
        trials.append(measure(model, ways, pixels, labels))
        return {way: 1.0 + number for number, way in enumerate(ways)}

    no_gpu(monkeypatch, "amx_bf16")
    much_work(monkeypatch)
    monkeypatch.setattr(precision, "_measured", plain_is_fastest)
    run = train(tmp_path / "run", precision="auto")
    assert len(trials) == 1
    assert "computing in float32: a step of 1 took 1 s in float32" in run.said
    assert_same(run, train(tmp_path / "without"))


def test_what_cannot_be_computed_takes_endless(monkeypatch):
    step = precision._step

    def refuse(model, way, pixels, labels):
        if way == COMPILED:
            raise RuntimeError("no such kernel")
        return step(model, way, pixels, labels)

    monkeypatch.setattr(precision, "_step", refuse)
    measured = precision._measured(network(), [PLAIN, COMPILED], *batches(8)[0])
    assert measured[PLAIN] < measured[COMPILED] == float("inf")


def test_multiplications_by_hand():
    inputs = keras.Input((12, 12, 3))
    outputs = keras.layers.Conv2D(5, 3, name="convolution")(inputs)
    # 3 x 3 x 3 inputs for each of 5 outputs at each of 10 x 10 places.
    assert precision._multiplications(keras.Model(inputs, outputs)) == 27 * 5 * 100


# ------------------------------------------------------------------ a way to compute


@pytest.mark.parametrize(
    ("devices", "way", "expected"),
    [([], PLAIN, False), ([], COMPILED, True), (["gpu:0"], PLAIN, "auto")],
)
@of_tensorflow
def test_on_a_gpu_keras_decides_what_is_compiled(monkeypatch, devices, way, expected):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    assert way.jit_compile == expected


def test_float32_undoes_bfloat16():
    model = network()
    BFLOAT16.set_up(model)
    PLAIN.set_up(model)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
