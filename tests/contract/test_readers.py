"""Every format of the table against one suite: golden file, damage, truth about the source, round trip."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from golden import MAKERS
from matterscope.core.errors import DataError, ReadError
from matterscope.core.schema import KINDS, check
from matterscope.io import read, write
from matterscope.io.formats import FORMATS
from matterscope.io.reading import sniff

MADE = [f for f in FORMATS if f.name in MAKERS]
ALL = pytest.mark.parametrize("entry", MADE, ids=[f.name for f in MADE])


@pytest.fixture
def golden(entry, tmp_path) -> Path:
    return MAKERS[entry.name](tmp_path / "golden")


def _attempt(path: Path) -> tuple[list, str]:
    """Return what was read, or the message of the refusal."""
    try:
        return read(path), ""
    except DataError as error:
        return [], str(error)


def _equal(one, two) -> None:
    assert [d.attrs.get("label") for d in one] == [d.attrs.get("label") for d in two]
    for a, b in zip(one, two, strict=True):
        assert a.identical(b) or a.equals(b)


def test_every_format_has_a_golden_file():
    assert {f.name for f in FORMATS} == set(MAKERS)


@ALL
def test_a_golden_file_is_recognised_as_its_format(entry, golden):
    assert sniff(golden).name == entry.name


@ALL
def test_what_is_read_satisfies_its_schema_with_units_everywhere(entry, golden):
    for dataset in read(golden):
        check(dataset)
        assert dataset.attrs["kind"] in KINDS
        assert entry.kinds == ("*",) or dataset.attrs["kind"] in entry.kinds
        for name, array in dataset.variables.items():
            assert array.dtype.kind in "OUS" or "units" in array.attrs, name


@ALL
def test_the_source_is_named_and_vendor_metadata_stand_apart(entry, golden):
    digest = hashlib.sha256(golden.read_bytes()).hexdigest()
    for dataset in read(golden):
        source = dataset.attrs["source"]
        if entry.name != "hdf5-measurement":  # there the first source is kept
            assert source["sha256"] == digest
        assert isinstance(dataset.attrs["vendor"], dict)


@ALL
def test_reading_twice_is_equal_and_leaves_the_file_as_it_was(entry, golden):
    before = golden.read_bytes()
    first, second = read(golden), read(golden)
    _equal(first, second)
    assert golden.read_bytes() == before
    open_files = [f.resolve() for f in Path("/proc/self/fd").iterdir() if f.exists()]
    assert golden.resolve() not in open_files


@ALL
def test_axes_of_non_square_data_are_not_exchanged(entry, golden):
    for dataset in read(golden):
        for array in dataset.data_vars.values():
            for dim, size in zip(array.dims, array.shape, strict=True):
                assert dim not in dataset.coords or dataset[dim].size == size


@ALL
def test_an_empty_file_is_refused(entry, golden):
    golden.write_bytes(b"")
    with pytest.raises(ReadError, match="empty"):
        read(golden)


@ALL
def test_bytes_of_nothing_in_particular_are_refused_under_this_name(entry, golden):
    golden.write_bytes(random.Random(1).randbytes(3000))
    with pytest.raises(DataError):
        read(golden)


@ALL
def test_a_folder_a_missing_path_and_an_address_are_refused(entry, golden):
    with pytest.raises(ReadError, match="not a regular file"):
        read(golden.parent)
    with pytest.raises(ReadError, match="no such file"):
        read(golden.with_name("missing" + golden.suffix))
    with pytest.raises(ReadError, match="address"):
        read("https://example.org/" + golden.name)


@ALL
@pytest.mark.parametrize("count", [1, 5, 11])
def test_a_file_cut_inside_its_header_is_refused(entry, golden, count):
    golden.write_bytes(golden.read_bytes()[:count])
    with pytest.raises(DataError):
        read(golden)


@ALL
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_file_cut_anywhere_is_refused_or_gives_no_more_than_it_holds(entry, golden, share):
    whole = read(golden)
    content = golden.read_bytes()
    golden.write_bytes(content[: int(len(content) * share)])
    found, message = _attempt(golden)
    assert str(golden) in message or found
    assert sum(d.nbytes for d in found) <= sum(d.nbytes for d in whole)


@pytest.mark.parametrize("entry", [f for f in MADE if f.writes], ids=lambda f: f.name)
def test_writing_and_reading_is_the_identity(entry, golden, tmp_path):
    found = read(golden)
    target = tmp_path / f"written{golden.suffix}"
    write(found if len(found) > 1 else found[0], target, format=entry.name)
    for one, two in zip(found, read(target), strict=True):
        main = next(iter(KINDS[one.attrs["kind"]].variables))
        np.testing.assert_array_equal(one[main].values, two[main].values)
        for name in KINDS[one.attrs["kind"]].coords:
            if name in one.coords:
                np.testing.assert_array_equal(one[name].values, two[name].values)
