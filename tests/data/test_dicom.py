"""DICOM objects as grey pixels: what the standard says of their values, and what is refused."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from xraylib import errors
from xraylib.data import dicom, reading

pydicom = pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

STORED = np.array([[0, 100, 200], [1000, 2000, 4095]], np.uint16)


def dataset(stored=STORED, **fields):
    """A radiograph of 12 bits in 16, with some fields of its own; None leaves one out."""
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    made.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["a"])
    made.Rows, made.Columns = stored.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    made.add_new("PixelData", "OW", stored.tobytes())
    for name, value in fields.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def content(made):
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def grey(made, most_pixels=1000):
    return dicom.read(content(made), most_pixels=most_pixels)[0]


def table(first, entries, bits):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return pydicom.Sequence([item])


def test_the_whole_range_of_the_stored_bits_where_nothing_is_said():
    # 255 * 100 / 4095 = 6.2, 12.5, 62.3, 124.5
    assert grey(dataset()).tolist() == [[0, 6, 12], [62, 125, 255]]
    assert dicom.is_dicom(content(dataset()))


def test_monochrome1_is_inverted():
    inverted = grey(dataset(PhotometricInterpretation="MONOCHROME1"))
    assert inverted.tolist() == [[255, 249, 243], [193, 130, 0]]


def test_signed_values_begin_below_zero():
    signed = np.array([[-2048, -1, 2047]], np.int16)
    assert grey(dataset(signed)).tolist() == [[0, 127, 255]]


def test_a_window_in_each_function():
    window = {"WindowCenter": 1000, "WindowWidth": 2001}
    # (x - 999.5) / 2000 + .5
    assert grey(dataset(**window)).tolist() == [[0, 13, 26], [128, 255, 255]]
    exact = grey(dataset(**window, VOILUTFunction="LINEAR_EXACT"))
    assert exact.tolist() == [[0, 13, 26], [128, 255, 255]]
    sigmoid = grey(dataset(WindowCenter=1000, WindowWidth=1000, VOILUTFunction="SIGMOID"))
    assert sigmoid[1].tolist() == [128, 250, 255]


def test_of_several_windows_the_first():
    several = grey(dataset(WindowCenter=[1000, 9], WindowWidth=[2001, 9]))
    assert several.tolist() == [[0, 13, 26], [128, 255, 255]]


def test_a_window_is_one_of_rescaled_values():
    rescaled = dataset(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=900, WindowWidth=4001)
    # (2 x - 100 - 899.5) / 4000 + .5
    assert grey(rescaled).tolist() == [[64, 77, 89], [191, 255, 255]]
    falling = grey(dataset(RescaleSlope=-1, RescaleIntercept=0))
    assert falling.tolist() == [[255, 249, 243], [193, 130, 0]]


def test_tables_are_looked_up_and_their_ends_go_on():
    voi = dataset(VOILUTSequence=table(100, [0, 128] + [255] * 98, 8))
    assert grey(voi).tolist() == [[0, 0, 255], [255, 255, 255]]
    modality = dataset(ModalityLUTSequence=table(0, [0] * 200 + [1023], 10))
    assert grey(modality).tolist() == [[0, 0, 255], [255, 255, 255]]


def test_run_lengths_are_decoded():
    compressed = dataset()
    compressed.compress(pydicom.uid.RLELossless)
    assert grey(compressed).tolist() == grey(dataset()).tolist()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"PixelData": None}, "without an image"),
        ({"NumberOfFrames": 2}, "of 2 frames"),
        ({"PhotometricInterpretation": "RGB"}, "in RGB, not a grey radiograph"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "in PALETTE COLOR"),
        ({"PhotometricInterpretation": None}, "in None"),
        ({"Rows": 60000, "Columns": 60000}, "3,600,000,000 pixels: at most 1,000"),
        ({"Rows": 7}, "damaged"),
        ({"Rows": None}, "damaged"),
        ({"BitsStored": None}, "damaged"),
        ({"VOILUTFunction": "CUBIC", "WindowCenter": 1, "WindowWidth": 9}, "CUBIC"),
    ],
)
def test_what_is_no_single_grey_image_is_refused_in_one_line(fields, said):
    with pytest.raises(ValueError, match=said) as raised:
        grey(dataset(**fields))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [132, 140, 200, 400])
def test_a_file_that_was_cut_short_is_refused(kept):
    with pytest.raises(ValueError, match="DICOM"):
        dicom.read(content(dataset())[:kept], most_pixels=1000)


def test_a_syntax_that_only_others_read_is_named():
    lossless = dataset()
    lossless.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    lossless.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no image \xff\xd9"])
    lossless["PixelData"].VR = "OB"
    with pytest.raises(ValueError, match="JPEG-LS Lossless"):
        grey(lossless)


def test_reading_recognises_it_by_its_content(tmp_path):
    path = tmp_path / "named.jpeg"
    path.write_bytes(content(dataset()))
    film = reading.film(path)
    assert (film.format, film.bits, film.coloured) == ("DICOM", 12, 0)
    np.testing.assert_array_equal(film.pixels, grey(dataset()))
    path.write_bytes(content(dataset(PixelData=None)))
    with pytest.raises(errors.UnreadableImage, match=r"named\.jpeg cannot be read: a DICOM object"):
        reading.grey(path)


def test_reading_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    path.write_bytes(content(dataset()))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(errors.UnreadableImage, match=r"pip install 'xraylib\[dicom\]'"):
        reading.grey(path)


def test_without_pydicom_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r"pip install 'xraylib\[dicom\]'"):
        dicom.read(b"", most_pixels=1)


def test_a_chest_stored_in_two_ways_has_the_same_pixels():
    pytest.importorskip("data_store", reason="pydicom-data is not installed")
    from pydicom.data import get_testdata_file

    paths = [get_testdata_file(name, download=False) for name in ("RG1_UNCR.dcm", "RG1_J2KR.dcm")]
    if not all(paths):
        pytest.skip("pydicom-data does not hold RG1")
    contents = [Path(path).read_bytes() for path in paths]
    plain, compressed = (dicom.read(each, most_pixels=80_000_000)[0] for each in contents)
    assert plain.shape == (1955, 1841) and np.ptp(plain) > 200
    np.testing.assert_array_equal(plain, compressed)
