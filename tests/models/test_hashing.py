"""Hashes are written to disk: they never change."""

from models.hashing import hash32, hash64


def test_hashes_are_those_of_every_other_process_and_release() -> None:
    assert hash64("pair_1") == 0xBE5A6E4CD423F5B7
    assert hash32("acct_17") == 0x5150504A


def test_hashes_have_the_width_that_they_are_named_for() -> None:
    names = [f"name_{n}" for n in range(1_000)]
    assert 2**63 < max(map(hash64, names)) < 2**64
    assert 2**31 < max(map(hash32, names)) < 2**32
