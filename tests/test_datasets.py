import gzip
import os
import struct
import tracemalloc
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from fastnn.datasets import load_digits, load_mnist

MNIST = Path(os.environ.get("FASTNN_MNIST") or Path(__file__).parents[2] / "shared" / "data" / "mnist-10k")
LOADERS = {"digits": lambda folder, **form: load_digits(**form), "mnist": load_mnist}


def idx(array, magic=None, shape=None):
    """The bytes of an IDX file; `magic` and `shape` make its header lie."""
    shape = array.shape if shape is None else shape
    magic = 0x0800 | array.ndim if magic is None else magic
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + array.tobytes()


IMAGES = np.arange(7 * 3 * 2, dtype=np.uint8).reshape(7, 3, 2) * 6
LABELS = np.array([3, 9, 0, 1, 1, 8, 2], np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Seven training and two test images of 3 x 2 pixels, the test images gzipped, one name with a point."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(LABELS))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:2])))
    (tmp_path / "t10k-labels.idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
    return tmp_path


def test_digits_are_the_uci_digits():
    (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    assert x_train.shape == (1442, 64) and x_test.shape == (355, 64)
    assert x_train.dtype == t_train.dtype == np.uint8
    # Counts and total ink of the csv that the data were made from.
    labels = np.concatenate([t_train, t_test])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert int(x_train.sum()) + int(x_test.sum()) == 561718
    assert max(x_train.max(), x_test.max()) == 16
    first_zero = [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert t_train[0] == 0 and x_train[0, :16].reshape(2, 8).tolist() == first_zero


def test_digits_split_holds_every_fifth_of_each_class():
    (_, t_train), (_, t_test) = load_digits()
    everything = np.bincount(t_train) + np.bincount(t_test)
    np.testing.assert_array_equal(np.bincount(t_test), everything // 5)


def test_digits_come_with_their_attribution():
    text = (files("fastnn.datasets") / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for part in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert part in text


def test_mnist_reads_every_naming_and_size(folder):
    (x_train, t_train), (x_test, t_test) = load_mnist(folder, normalize=False, flatten=False)
    np.testing.assert_array_equal(x_train, IMAGES[:, None])
    np.testing.assert_array_equal(t_train, LABELS)
    np.testing.assert_array_equal(x_test, IMAGES[:2, None])
    np.testing.assert_array_equal(t_test, LABELS[:2])


@pytest.mark.parametrize("brightest, loader", [(16, "digits"), (255, "mnist")])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_forms(folder, brightest, loader, dtype):
    raw = LOADERS[loader](folder, normalize=False)
    formed = LOADERS[loader](folder, flatten=False, one_hot_label=True, dtype=dtype)
    for (x_raw, t_raw), (x, t) in zip(raw, formed):
        assert x.dtype == t.dtype == dtype
        assert x.ndim == 4 and x.shape[1] == 1
        np.testing.assert_allclose(x.reshape(x_raw.shape) * np.float64(brightest), x_raw, rtol=1e-3)
        assert t.shape == (len(x), 10)
        np.testing.assert_array_equal(t.argmax(axis=1), t_raw)
        assert np.all(t.sum(axis=1) == 1) and np.all(t.max(axis=1) == 1)


@pytest.mark.parametrize("loader", LOADERS)
def test_arrays_are_the_callers_own(folder, loader):
    first, second = (LOADERS[loader](folder, normalize=False) for _ in range(2))
    for array in (*first[0], *first[1]):
        array += 1
    third = LOADERS[loader](folder, normalize=False)
    for a, b in zip((*second[0], *second[1]), (*third[0], *third[1])):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("dtype", [int, bool, complex, "U3"])
def test_dtype_must_be_floating_point(folder, loader, dtype):
    with pytest.raises(TypeError, match="dtype must be a floating-point type"):
        LOADERS[loader](folder, dtype=dtype)


def corrupt_crc(data):
    return data[:-8] + bytes(b ^ 0xFF for b in data[-8:-4]) + data[-4:]


GZIPPED = gzip.compress(idx(IMAGES[:2]))
BAD_FILES = {   # file, its contents, what the message says
    "wrong magic": ("train-images-idx3-ubyte", idx(IMAGES, magic=0x0801), "wrong magic number 0x00000801"),
    "floats": ("train-images-idx3-ubyte", idx(IMAGES, magic=0x0D03), "wrong magic number 0x00000d03"),
    "images as labels": ("train-labels-idx1-ubyte", idx(IMAGES), "wrong magic number 0x00000803"),
    "gzip without .gz": ("train-images-idx3-ubyte", gzip.compress(idx(IMAGES)), "wrong magic number 0x1f8b"),
    "empty file": ("train-images-idx3-ubyte", b"", "truncated"),
    "half a header": ("train-images-idx3-ubyte", idx(IMAGES)[:9], "truncated"),
    "truncated": ("train-images-idx3-ubyte", idx(IMAGES)[:-1], "truncated: 41 bytes of data .* 7 x 3 x 2"),
    "absurd sizes": ("train-images-idx3-ubyte", idx(IMAGES, shape=(2**32 - 1,) * 3), "truncated: 42 bytes"),
    "trailing bytes": ("train-images-idx3-ubyte", idx(IMAGES) + b"\0", "trailing bytes"),
    "no images": ("train-images-idx3-ubyte", idx(IMAGES[:0]), "wrong count: .* 0 x 3 x 2"),
    "no pixels": ("train-images-idx3-ubyte", idx(IMAGES[:, :0]), "wrong count: .* 7 x 0 x 2"),
    "fewer labels": ("train-labels-idx1-ubyte", idx(LABELS[:6]), "6 labels for the 7 of train-images"),
    "label 10": ("train-labels-idx1-ubyte", idx(LABELS + np.uint8(1)), "label 10 is out of range"),
    "not gzip": ("t10k-images-idx3-ubyte.gz", idx(IMAGES[:2]), "not a sound gzip file"),
    "empty gzip": ("t10k-images-idx3-ubyte.gz", b"", "truncated"),
    "truncated gzip": ("t10k-images-idx3-ubyte.gz", GZIPPED[:-4], "truncated gzip file"),
    "damaged gzip": ("t10k-images-idx3-ubyte.gz", GZIPPED[:10] + b"\xff" * 40, "damaged gzip data"),
    "wrong checksum": ("t10k-images-idx3-ubyte.gz", corrupt_crc(GZIPPED), "not a sound gzip file"),
}


@pytest.mark.parametrize("name, content, message", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_is_named_in_one_line(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_mnist(folder)
    assert str(caught.value).startswith(f"{folder / name}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels.idx1-ubyte",
                                  "t10k-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte.gz"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    looked_for = name.replace(".idx", "-idx").removesuffix(".gz")
    with pytest.raises(FileNotFoundError, match=looked_for) as caught:
        load_mnist(folder)
    assert "\n" not in str(caught.value)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_mnist(tmp_path / "nowhere")


def test_parts_of_different_size(folder):
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:2].reshape(2, 2, 3))))
    with pytest.raises(ValueError, match="training images of 3 x 2, test images of 2 x 3"):
        load_mnist(folder)


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (1, 3, 2)], ids=["header claims too much", "gzip bomb"])
def test_memory_is_bounded_by_the_header_and_by_the_file(folder, shape):
    bomb = struct.pack(">4I", 0x0803, *shape)
    # 64 MiB of zeros; a header that claims more than there is gets a short file.
    bomb += bytes(64 << 20 if shape == (1, 3, 2) else 100)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bomb, compresslevel=1))
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="truncated|trailing"):
            load_mnist(folder)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST files in {MNIST}; FASTNN_MNIST names their folder")
def test_real_mnist():
    (x_train, t_train), (x_test, t_test) = load_mnist(MNIST)
    assert x_train.shape[1] == x_test.shape[1] == 784 and x_train.dtype == np.float32
    assert x_train.min() == 0 and x_train.max() == 1
    for t in (t_train, t_test):     # each class is about a tenth
        assert np.all(np.abs(np.bincount(t, minlength=10) / len(t) - 0.1) < 0.03)
