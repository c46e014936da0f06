import zlib

import cv2
import numpy as np
import pytest

from src.errors import InputError
from src.photos import MAX_PIXELS, as_png_or_jpeg, read_photo

RNG = np.random.default_rng(0)
COLOUR = cv2.GaussianBlur(RNG.integers(0, 256, (48, 64, 3), np.uint8), (5, 5), 2)


def encode(extension, array=COLOUR):
    return cv2.imencode(extension, array)[1].tobytes()


def read(tmp_path, content, size=None):
    path = tmp_path / "photo"
    path.write_bytes(content)
    return read_photo(path, size)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 9)])
@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_an_intact_image_comes_with_its_bytes_and_size(tmp_path, extension, shape):
    content = encode(extension, np.full((*shape, 3), 90, np.uint8))
    assert read(tmp_path, content, shape) == (content, shape)


@pytest.mark.parametrize(
    "array",
    [
        COLOUR[..., 0],
        np.dstack([COLOUR, COLOUR[..., :1]]),
        COLOUR.astype(np.uint16) * 257,
        COLOUR[..., 0].astype(np.uint16) * 257,
    ],
    ids=["grey", "rgba", "16-bit", "16-bit grey"],
)
def test_png_of_any_depth_is_kept_to_the_byte(tmp_path, array):
    content, size = read(tmp_path, encode(".png", array))
    assert size == (48, 64)
    assert as_png_or_jpeg(content) == content == encode(".png", array)


@pytest.mark.parametrize("extension", [".tif", ".bmp"])
def test_other_formats_become_png_of_the_same_pixels(extension):
    converted = as_png_or_jpeg(encode(extension))
    assert converted.startswith(b"\x89PNG")
    decoded = cv2.imdecode(np.frombuffer(converted, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, COLOUR)


def test_a_format_that_only_opencv_reads_is_intact(tmp_path):
    content = b"Pf\n2 1\n-1.0\n" + np.array([0, 255], np.float32).tobytes()
    assert read(tmp_path, content, (1, 2))[1] == (1, 2)


def test_a_photo_is_not_turned_by_its_orientation_tag(tmp_path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    jpeg = encode(".jpg")
    tagged = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert read(tmp_path, tagged)[1] == (48, 64)


def test_odd_metadata_is_no_damage(tmp_path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x09"  # nine entries announced, none there
    jpeg = encode(".jpg")
    tagged = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert read(tmp_path, tagged)[1] == (48, 64)


def test_a_file_that_is_absent_or_empty_says_so(tmp_path):
    with pytest.raises(InputError, match="^no such file$"):
        read_photo(tmp_path / "absent.png")
    with pytest.raises(InputError, match="^no such file$"):
        read_photo(tmp_path)
    with pytest.raises(InputError, match="empty .0 bytes"):
        read(tmp_path, b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n9 9 lineto\n%%EOF\n"


@pytest.mark.parametrize("content", [b"text", b"\x89PNG\r\n", b"\xff\xd8\xff", EPS])
def test_what_is_no_image_is_refused(tmp_path, content):
    with pytest.raises(InputError, match="not a readable image"):
        read(tmp_path, content)


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp"])
def test_a_truncated_image_is_refused(tmp_path, extension, kept):
    content = encode(extension)
    with pytest.raises(InputError, match="damaged image|not a readable image"):
        read(tmp_path, content[: int(len(content) * kept)])


def test_a_large_truncated_jpeg_is_refused_as_damaged(tmp_path):
    content = encode(".jpg", cv2.resize(COLOUR, (1600, 1200)))
    with pytest.raises(InputError, match="damaged image .*truncated"):
        read(tmp_path, content[: len(content) // 2])


def test_a_corrupt_png_is_refused(tmp_path):
    content = bytearray(encode(".png"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(InputError, match="damaged image|not a readable image"):
        read(tmp_path, bytes(content))


@pytest.mark.parametrize("side", [14000, 60000])
def test_a_file_that_would_unpack_to_fill_the_memory_is_refused(tmp_path, side):
    header = bytearray(encode(".png", np.zeros((8, 8), np.uint8)))
    header[16:24] = side.to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(InputError, match=f"more than {MAX_PIXELS} pixels; cut"):
        read(tmp_path, bytes(header))


def test_another_size_than_announced_is_refused(tmp_path):
    words = r"the file is 48x64 px \(height x width\), the annotations say 64x48"
    with pytest.raises(InputError, match=words):
        read(tmp_path, encode(".png"), (64, 48))
