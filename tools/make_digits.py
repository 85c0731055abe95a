"""Make fastnn/datasets/digits.npz and its ATTRIBUTION.md from a scikit-learn wheel.

    pip download --no-deps scikit-learn
    python tools/make_digits.py scikit_learn-*.whl

The wheel carries the UCI digits as one line of 64 grey values and a label per image. The same zlib gives the
same bytes at every run: NumPy dates the members of an npz 1980-01-01.
"""
import argparse
import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

MEMBER = "sklearn/datasets/data/digits.csv.gz"
CSV_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
TARGET = Path(__file__).resolve().parent.parent / "fastnn" / "datasets"
ATTRIBUTION = """\
# digits.npz

1,797 handwritten digits of 8 x 8 pixels with values 0 to 16, and their labels, in the order of the source.

*Optical Recognition of Handwritten Digits* by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning
Repository, <https://doi.org/10.24432/C50P49>, licensed under the Creative Commons Attribution 4.0
International licence (CC BY 4.0, <https://creativecommons.org/licenses/by/4.0/legalcode>).

This is the data set's test part, as scikit-learn distributes it in `{member}`
(SHA-256 of the unpacked csv: `{sha256}`).
Changed here: the text became two uint8 arrays, `images` (1797, 8, 8) and `labels` (1797,); no value was
altered. Made by `tools/make_digits.py`.
"""


def read_csv(wheel):
    """The digits of a scikit-learn wheel as the bytes of a csv; ValueError if they are not the known ones."""
    with zipfile.ZipFile(wheel) as archive:
        csv = gzip.decompress(archive.read(MEMBER))
    found = hashlib.sha256(csv).hexdigest()
    if found != CSV_SHA256:
        raise ValueError(f"{wheel}: {MEMBER} has SHA-256 {found}, expected {CSV_SHA256}")
    return csv


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="a scikit-learn wheel")
    try:
        csv = read_csv(parser.parse_args().wheel)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"make_digits: {error}")
    table = np.loadtxt(io.BytesIO(csv), delimiter=",", dtype=np.uint8)
    np.savez_compressed(TARGET / "digits.npz", images=table[:, :64].reshape(-1, 8, 8), labels=table[:, 64])
    attribution = ATTRIBUTION.format(member=MEMBER, sha256=CSV_SHA256)
    (TARGET / "ATTRIBUTION.md").write_text(attribution, encoding="utf-8")


if __name__ == "__main__":
    main()
