"""Files of tensors: what is read is what was written, and a bad file is one clear sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tools.lowering import TensorFileError, load_tensors, save_tensors

VALUES = st.dictionaries(
    st.text("abcxyz_0", min_size=1, max_size=6),
    st.sampled_from([np.int64, np.float64]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(max_dims=3, max_side=3),
            elements=st.integers(-(2**53), 2**53) if dtype is np.int64 else st.floats(-1e6, 1e6).map(lambda v: v + 0.5),
        )
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(tensors=VALUES, ending=st.sampled_from([".npz", ".json"]))
def test_what_was_saved_is_loaded(tensors: dict[str, np.ndarray], ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{ending}"
        save_tensors(path, tensors)
        found = load_tensors(path)
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype.kind == array.dtype.kind


def test_one_unnamed_tensor_takes_the_name_given(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "a.json").write_text("[0, 1, 2]")
    for path in (tmp_path / "a.npy", tmp_path / "a.json"):
        assert load_tensors(path, name="x")["x"].tolist() == [0, 1, 2]
        with pytest.raises(TensorFileError, match="no name"):
            load_tensors(path)


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("a.txt", b"", "ending"),
        ("a.npz", b"PK nonsense", "not an .npz"),
        ("a.npz", b"", "not an .npz"),
        ("a.npy", b"nonsense", "not an .npy"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"\xff", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"x": [NaN]}', "NaN"),
        ("a.json", b'{"x": [[1], [1, 2]]}', "ragged"),
        ("a.json", b'{"x": ["a"]}', "not numbers; a graph takes the places of texts"),
        ("a.json", b'{"x": [true]}', "not numbers"),
        ("a.json", b'{"x": {"y": 1}}', "dict"),
        ("a.json", b'{"x": []}', "0 elements"),
        ("a.json", b'{"x": [123456789012345678901234567890]}', "not numbers"),
        ("a.json", b"{}", "no tensor"),
        ("a.json", b"3", "int"),
    ],
)
def test_invalid_files(name: str, data: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(TensorFileError) as found:
        load_tensors(path, name="x")
    assert part in str(found.value)
    assert str(path) in str(found.value)


def test_rows_for_a_model_may_be_texts_truth_values_and_lack_values(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"sex": [["male"], ["female"]], "age": [[1.5], [null]], "is": [[true], [false]]}')
    found = load_tensors(tmp_path / "a.json", texts=True)
    assert found["sex"].tolist() == [["male"], ["female"]]
    assert found["is"].tolist() == [[True], [False]]
    assert np.isnan(found["age"]).tolist() == [[False], [True]]
    np.savez(tmp_path / "a.npz", sex=np.array(["male"]))
    assert load_tensors(tmp_path / "a.npz", texts=True)["sex"].tolist() == ["male"]
    with pytest.raises(TensorFileError, match="not numbers"):
        load_tensors(tmp_path / "a.npz")


def test_invalid_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([None], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(TensorFileError, match=r"plain array.*column.astype\(str\)"):
            load_tensors(tmp_path / name, name="x")


def test_invalid_places(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError, match="No such file"):
        load_tensors(tmp_path / "none.npz")
    with pytest.raises(TensorFileError, match="No such file"):
        save_tensors(tmp_path / "none" / "a.npz", {"x": np.ones(1)})
    with pytest.raises(TensorFileError, match="ending"):
        save_tensors(tmp_path / "a.txt", {"x": np.ones(1)})
