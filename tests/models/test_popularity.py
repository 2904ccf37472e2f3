"""What the readers of a pair say of its next reader, in fixed space and through any crash."""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Iterator

import msgspec
import pytest

from models import popularity as module
from models import popularity_rows
from models.popularity import SLOTS, Popularity
from models.population_state import UNTOLD_MAX, PopularityWire, Readings, Rows, pack, unpack
from tests.models.traffic import slots

CATALOGUE = 5_000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few slots, and whole copies early: what is slow by its size alone, made fast."""
    monkeypatch.setattr(module, "SLOTS", 4_096)
    monkeypatch.setattr(module, "_MASK", 4_095)
    monkeypatch.setattr(module, "_FREE_MIN", int(0.4 * 4_096))
    monkeypatch.setattr(module, "_TOTAL_MAX", 24 * 4_096)
    monkeypatch.setattr(popularity_rows, "_CHANGE_ROWS_MAX", 3)


def people(seed: int, reads: int) -> Iterator[tuple[int, int]]:
    """Draw readers and what they choose: few pairs are popular, most are hardly ever read."""
    rng = random.Random(seed)
    for _ in range(reads):
        yield int(rng.paretovariate(0.7)) * 7 % CATALOGUE, rng.randrange(1 << 32)


def experienced(reads: int = 6_000) -> Popularity:
    popularity = Popularity()
    for pair, reader in people(1, reads):
        popularity.learn((pair,), reader, CATALOGUE, chosen=True, weighed=True)
    return popularity


class Store:
    """Rows on disk and the last marker, written in the order that the worker writes them."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.marker = b""

    def write(self, wire: PopularityWire, rows: Rows) -> None:
        for key, row in rows.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                assert len(row) < 1_000_000
                self.rows[key] = row
            self.restored()  # a crash right here
        self.marker = msgspec.msgpack.encode(wire)

    def restored(self) -> Popularity:
        popularity = Popularity()
        if self.marker:
            wire = msgspec.msgpack.decode(self.marker, type=PopularityWire)
            popularity.restore(wire, self.rows.get)
        return popularity


def state(popularity: Popularity) -> object:
    return slots(popularity), popularity.pairs_seen, popularity.pairs_unseen


def copied(popularity: Popularity, pairs: list[int]) -> float:
    """Return how many reads of a copier it amounts to that a stranger reads these pairs."""
    return sum(popularity.classes.copied[look] for look in popularity.look(pairs, -1) if look >= 0)


def test_nothing_is_evidence_before_anything_was_read() -> None:
    popularity = Popularity()
    assert popularity.evidence(1, 1) == 0
    assert copied(popularity, [1]) == 0


def test_reading_what_nobody_reads_speaks_for_a_copier_and_what_all_read_against() -> None:
    popularity = experienced()
    unread = next(pair for pair in range(SLOTS - 1, 0, -1) if not popularity.readers(pair))
    favourite = max(range(CATALOGUE), key=popularity.readers)
    rare, popular = popularity.evidence(unread, 1), popularity.evidence(favourite, 1)
    assert rare is not None
    assert popular is not None
    assert popular < -3 < 3 < rare


def test_evidence_never_falls_as_pairs_get_rarer() -> None:
    popularity = experienced()
    by_readers = {popularity.readers(pair): pair for pair in range(CATALOGUE)}
    found = [popularity.evidence(by_readers[n], -1) for n in sorted(by_readers)]
    for rarer, commoner in zip(found, found[4:], strict=False):
        assert rarer is not None
        assert commoner is not None
        assert rarer > commoner - 3


def test_where_people_read_like_the_catalogue_nothing_is_evidence() -> None:
    rng, popularity = random.Random(1), Popularity()
    for reader in range(40_000):
        pair = rng.randrange(500)
        popularity.learn((pair,), reader, 500, chosen=True, weighed=True)
    evidence = [popularity.evidence(pair, 1 << 20) or 0.0 for pair in range(500)]
    assert abs(sum(evidence) / len(evidence)) < 1


def test_coming_straight_back_says_nothing_and_counts_nothing() -> None:
    popularity = Popularity()
    for _ in range(100):
        popularity.learn((5,), 9, CATALOGUE, chosen=True, weighed=True)
    assert popularity.evidence(5, 9) is None
    assert popularity.evidence(5, 10) is not None
    assert popularity.readers(5) == 1


def test_coming_back_says_nothing_also_where_nothing_was_learned() -> None:
    popularity = experienced()
    readers = popularity.readers(4_321)
    assert popularity.evidence(4_321, 9) is not None
    popularity.learn((4_321,), 9, counted=False, chosen=True)
    assert popularity.evidence(4_321, 9) is None
    assert popularity.evidence(4_321, 10) is not None
    assert popularity.readers(4_321) == readers


def test_every_reader_can_be_told_from_nobody() -> None:
    popularity = experienced()
    assert all(popularity.evidence(SLOTS - 1, reader) is not None for reader in range(512))


def test_who_reads_the_catalogue_copies_all_of_it_and_people_hardly_any() -> None:
    popularity, rng = experienced(), random.Random(3)
    assert 1_600 < copied(popularity, [rng.randrange(CATALOGUE) for _ in range(2_000)]) < 2_400
    assert copied(popularity, [pair for pair, _ in people(9, 2_000)]) < 200


def test_no_pair_has_more_readers_than_can_be_counted() -> None:
    popularity = Popularity()
    for reader in range(1_000):
        popularity.learn((1,), reader)
    assert popularity.readers(1) == 255


def test_a_million_made_up_pairs_take_no_more_room_than_ten() -> None:
    popularity, store = Popularity(), Store()
    made_up = random.Random(1)
    for reader in range(1_000_000):
        popularity.learn((made_up.getrandbits(64),), reader)
    assert popularity.pairs_seen <= 0.6 * SLOTS + 1
    assert len(popularity._rows.changes) < 200_000
    wire, rows = popularity.snapshot()
    store.write(wire, rows)
    assert len(store.marker) < 100_000
    assert sum(map(len, store.rows.values())) < 3_000_000
    assert state(store.restored()) == state(popularity)


@pytest.mark.usefixtures("small")
def test_a_snapshot_of_changes_and_whole_copies_is_taken_up_as_it_was() -> None:
    popularity, store = experienced(500), Store()
    for part in range(12):
        for pair, reader in people(100 + part, 50 * (part % 4)):
            popularity.learn((pair,), reader, CATALOGUE, chosen=True, weighed=True)
            popularity.learn((pair + 1,), reader, counted=False, chosen=True)
        store.write(*popularity.snapshot())
        restored = store.restored()
        assert state(restored) == state(popularity)
        for pair in range(200):
            assert restored.evidence(pair, 77) == popularity.evidence(pair, 77)
        if part % 3 == 2:
            popularity = restored
    assert len(store.rows) < 12


def test_what_one_has_learned_the_other_knows_once_it_is_told() -> None:
    teller, listener = experienced(), Popularity()
    listener.merge(teller.tell(), CATALOGUE)
    assert all(listener.readers(n) == teller.readers(n) for n in range(CATALOGUE))
    favourite = max(range(CATALOGUE), key=teller.readers)
    rare, popular = listener.evidence(SLOTS - 1, -1), listener.evidence(favourite, -1)
    assert rare is not None
    assert popular is not None
    assert popular < -3 < 3 < rare


def test_only_what_is_new_is_told_and_only_what_was_learned_here() -> None:
    one, other = experienced(4_000), Popularity()
    assert one.has_news
    other.merge(one.tell(), CATALOGUE)
    assert not one.has_news
    assert not other.has_news
    told = other.tell()
    one.merge(told, CATALOGUE)
    assert sum(told.read) == 0
    assert one.pairs_seen == other.pairs_seen


def test_slots_are_told_whichever_and_however_many_they_are() -> None:
    chance = random.Random(4)
    for size in (0, 1, 2, 1_000, UNTOLD_MAX):
        for reach in (1, 300, 1 << 20):
            some = array("I", [chance.randrange(reach) for _ in range(size)])
            assert unpack(pack(some)).tolist() == sorted(some)
    assert unpack(pack(array("I", [(1 << 20) - 1] * UNTOLD_MAX))).size == UNTOLD_MAX


def test_an_account_is_still_known_for_what_it_read_last_when_others_are_told_of() -> None:
    listener, teller = Popularity(), Popularity()
    listener.learn((5,), 9)
    teller.learn((5,), 10)
    listener.merge(teller.tell(), CATALOGUE)
    assert listener.readers(5) == 2
    assert listener.evidence(5, 9) is None


def test_a_class_without_pairs_for_long_says_something_all_the_same() -> None:
    popularity = Popularity()
    popularity.learn((1,), 1)
    popularity.merge(Readings(pack(array("I")), [0, 600] + [0] * 7), CATALOGUE)
    popularity.learn((1,), 2)  # now no pair has had one reader
    for _ in range(1_000):  # until the last number above zero is passed
        popularity.merge(Readings(pack(array("I")), [0, 12_800] + [0] * 7), CATALOGUE)
        assert min(popularity.classes.tenths) >= -120


def test_what_is_told_has_a_bound() -> None:
    popularity = Popularity()
    for pair in range(100_000):
        popularity.learn((pair * 7,), pair)
    told = popularity.tell()
    assert len(told.readers) < 80_000
    listener = Popularity()
    listener.merge(told, CATALOGUE)
    assert listener.pairs_seen == UNTOLD_MAX


@pytest.mark.parametrize(
    "readings",
    [
        Readings(b"", [0] * 9),
        Readings(b"none", [0] * 9),
        Readings(zlib.compress(bytes(8_188)), [0] * 9),
        Readings(zlib.compress(bytes(8_196)), [0] * 9),
        Readings(zlib.compress(bytes(8_192))[:-1], [0] * 9),
        Readings(zlib.compress(bytes(8_192)) + b"\0", [0] * 9),
        Readings(zlib.compress(b"\1\0" + bytes(8_190)), [0] * 9),
        Readings(zlib.compress(b"\xff\xff\1\0" + bytes(8_188)) + bytes(65_536), [0] * 9),
        Readings(pack(array("I")), [0] * 8),
        Readings(pack(array("I")), [-1] * 9),
    ],
)
def test_readings_that_are_none_are_refused_and_nothing_is_learned(readings: Readings) -> None:
    popularity = experienced(500)
    before = state(popularity)
    with pytest.raises((ValueError, zlib.error)):
        popularity.merge(readings, CATALOGUE)
    assert state(popularity) == before


@pytest.mark.usefixtures("small")
def test_rows_that_are_none_are_refused() -> None:
    popularity, store = experienced(2_000), Store()
    for reader in range(5):  # until a whole copy is written
        popularity.learn((1,), reader)
        store.write(*popularity.snapshot())
    (copy,) = (key for key in store.rows if key.startswith(b"copy"))
    for row in (b"", b"nonsense", store.rows[copy][:-1]):
        store.rows[copy] = row
        with pytest.raises(ValueError, match="popularity"):
            store.restored()


@pytest.mark.usefixtures("small")
def test_what_was_merged_and_what_is_untold_outlive_a_restart() -> None:
    popularity, teller, store = Popularity(), Popularity(), Store()
    for part in range(40):
        for pair in range(part * 50, part * 50 + 120):
            teller.learn((pair,), part)
            popularity.learn((pair * 3,), part)
        popularity.merge(teller.tell(), CATALOGUE)
        store.write(*popularity.snapshot())
        restored = store.restored()
        assert state(restored) == state(popularity)
        if part % 3 == 2:
            assert restored.tell() == popularity.tell()
            popularity = restored


@pytest.mark.usefixtures("small")
def test_counts_halved_between_snapshots_are_halved_once() -> None:
    popularity, store, before = Popularity(), Store(), 0
    halved = 0
    for part in range(60):
        for pair in range(part * 150, part * 150 + 150):
            for reader in range(pair % 3 + 1):
                popularity.learn((pair,), reader)
            halved += popularity.pairs_seen < before
            before = popularity.pairs_seen
        store.write(*popularity.snapshot())
        assert state(store.restored()) == state(popularity)
    assert halved >= 2


@pytest.mark.usefixtures("small")
def test_the_last_snapshot_stands_until_the_next_is_whole() -> None:
    popularity, store = Popularity(), Store()
    for part in range(20):
        popularity.learn((part,), part)
        wire, rows = popularity.snapshot()
        for crash in range(len(rows) + 1):
            cut = Store()
            cut.rows, cut.marker = dict(store.rows), store.marker
            for key, row in list(rows.items())[:crash]:
                if row is None:
                    cut.rows.pop(key, None)
                else:
                    cut.rows[key] = row
            assert [slot for slot, _, _ in slots(cut.restored())] == list(range(part))
        store.write(wire, rows)


def test_a_missing_row_is_named() -> None:
    popularity = experienced(100)
    wire, _ = popularity.snapshot()
    with pytest.raises(ValueError, match=r"lacks its row b'change0\.0'"):
        Popularity().restore(wire, lambda _: None)
