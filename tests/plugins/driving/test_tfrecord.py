"""TFRecord framing against the published check value of CRC-32C and against bytes that were put together by hand."""

from __future__ import annotations

import struct

import pytest

from twm_core.errors import DataError
from twm_driving.waymo import tfrecord
from twm_driving.waymo.tfrecord import crc32c_slow, masked, read_records, record


def test_the_checksum_has_the_published_check_value():
    assert crc32c_slow(b"123456789") == 0xE3069283  # the check value in every catalogue of CRC-32C
    assert crc32c_slow(b"") == 0
    assert tfrecord.content_checksum()(b"123456789") == 0xE3069283


def test_masking_is_a_rotation_and_a_constant():
    # By hand: 0x00000001 >> 15 = 0, << 17 = 0x00020000, plus 0xa282ead8.
    assert masked(1) == 0xA284EAD8
    assert masked(0x8000) == 0xA282EAD8 + 1  # bit 15 comes to bit 0, and its shift to the left leaves the 32 bits


def test_records_come_back_in_order_with_their_offsets(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(b"one") + record(b"") + record(b"three"))
    assert list(read_records(path)) == [(12, b"one"), (31, b""), (47, b"three")]


def test_the_framing_is_eight_four_n_four_bytes(tmp_path):
    path = tmp_path / "a.tfrecord"
    header = struct.pack("<Q", 3)
    data = header + struct.pack("<I", masked(crc32c_slow(header))) + b"abc" + struct.pack("<I", masked(crc32c_slow(b"abc")))
    path.write_bytes(data)
    assert record(b"abc") == data
    assert list(read_records(path)) == [(12, b"abc")]


@pytest.mark.parametrize("cut", [1, 11, 12, 14, 15, 18])
def test_a_file_that_ends_within_a_record_is_refused(tmp_path, cut):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(b"fine") + record(b"abc")[:cut])
    with pytest.raises(DataError, match=r"a\.tfrecord, record 1, byte 20: "):
        list(read_records(path))


def test_a_declared_length_is_never_allocated(tmp_path):
    path = tmp_path / "a.tfrecord"
    header = struct.pack("<Q", 1 << 62)
    path.write_bytes(header + struct.pack("<I", masked(crc32c_slow(header))) + b"abc")
    with pytest.raises(DataError, match=r"record 0, byte 0: 4611686018427387904 bytes are announced, but the file ends after 0"):
        list(read_records(path))


def test_damaged_bytes_are_found(tmp_path):
    path = tmp_path / "a.tfrecord"
    good = record(b"abc")
    for place, message in ((0, "the checksum of the length"), (13, "the checksum of the contents"), (16, "the checksum of the contents")):
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bytes(bad))
        with pytest.raises(DataError, match=message):
            list(read_records(path))


def test_without_the_package_lengths_are_still_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecord, "find_spec", lambda name: None)
    path = tmp_path / "a.tfrecord"
    bad = bytearray(record(b"abc"))
    bad[13] ^= 1
    path.write_bytes(bytes(bad))
    ((_, data),) = read_records(path)
    assert data == b"a\x63c"
    bad[0] ^= 1
    path.write_bytes(bytes(bad))
    with pytest.raises(DataError, match="the checksum of the length"):
        list(read_records(path))
