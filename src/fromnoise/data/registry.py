"""The data sets known by name: what they hold, where their files are and how the bytes are recognised.

Every download is checked against a SHA-256 published by TensorFlow Datasets (the `url_checksums` and
`checksums.tsv` files of github.com/tensorflow/datasets), whatever mirror it came from. The MNIST sums of the
unpacked files are the ones in wide use for the canonical IDX files.

References:
    digits: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), https://doi.org/10.24432/C50P49
    mnist: Y. LeCun, C. Cortes, C. Burges (1998), http://yann.lecun.com/exdb/mnist/
    fashion_mnist: H. Xiao, K. Rasul, R. Vollgraf (2017), https://arxiv.org/abs/1708.07747
    kmnist: T. Clanuwat et al., Deep Learning for Classical Japanese Literature (2018), https://arxiv.org/abs/1812.01718
    cifar10: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009),
        https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_DIGIT_NAMES = tuple("0123456789")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    sha256 and size (bytes) are those of the download. unpacked: the name under which its content is accepted
    too. content_sha256: the sum of that content, where one is published.
    """

    name: str
    size: int
    sha256: str
    unpacked: str
    content_sha256: str = ""


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before any of its bytes are here.

    counts: images to train on and to test with. mirrors: addresses that end in "/", tried in this order.
    """

    description: str
    licence: str
    kind: Literal["digits", "idx", "cifar"]
    classes: tuple[str, ...]
    counts: tuple[int, int]
    files: tuple[RemoteFile, ...] = ()
    mirrors: tuple[str, ...] = ()


def _idx(name: str, size: int, sha256: str, content: str = "") -> RemoteFile:
    return RemoteFile(f"{name}.gz", size, sha256, name, content)


DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        description="1,797 handwritten digits, shipped with fromnoise, enlarged to 16x16; no download",
        licence="CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)",
        kind="digits",
        classes=_DIGIT_NAMES,
        counts=(1500, 297),
    ),
    "mnist": Dataset(
        description="70,000 handwritten digits, 28x28 grey",
        licence="CC BY-SA 3.0 (Y. LeCun, C. Cortes)",
        kind="idx",
        classes=_DIGIT_NAMES,
        counts=(60_000, 10_000),
        files=(
            _idx(
                "train-images-idx3-ubyte",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            _idx(
                "train-labels-idx1-ubyte",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            _idx(
                "t10k-images-idx3-ubyte",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            _idx(
                "t10k-labels-idx1-ubyte",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion_mnist": Dataset(
        description="70,000 pieces of clothing, 28x28 grey",
        licence="MIT (Zalando Research)",
        kind="idx",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        counts=(60_000, 10_000),
        files=(
            _idx(
                "train-images-idx3-ubyte",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            _idx(
                "train-labels-idx1-ubyte",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            _idx(
                "t10k-images-idx3-ubyte",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            _idx(
                "t10k-labels-idx1-ubyte",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
    ),
    "kmnist": Dataset(
        description="70,000 cursive Japanese characters (Kuzushiji-MNIST), 28x28 grey",
        licence="CC BY-SA 4.0 (CODH)",
        kind="idx",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        counts=(60_000, 10_000),
        files=(
            _idx(
                "train-images-idx3-ubyte",
                18_165_135,
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            _idx(
                "train-labels-idx1-ubyte",
                29_497,
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
            _idx(
                "t10k-images-idx3-ubyte",
                3_041_136,
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            _idx(
                "t10k-labels-idx1-ubyte",
                5_120,
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
        mirrors=(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/KMNIST/",
        ),
    ),
    "cifar10": Dataset(
        description="60,000 photographs of ten kinds of things, 32x32 RGB (binary version)",
        licence="none stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        kind="cifar",
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        counts=(50_000, 10_000),
        files=(
            RemoteFile(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                "cifar-10-batches-bin",
            ),
        ),
        mirrors=(
            "https://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
    ),
}
