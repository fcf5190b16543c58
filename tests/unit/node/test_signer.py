"""The signer moves forward only, over any sequence of requests, restarts and crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.crypto import SigningKey, verify_signature
from runtime.node.errors import AlreadyRunning, DoubleSignRefused, JournalCorrupted
from runtime.node.journal import Journal
from runtime.node.signer import Signer, SignStep, read_signed

KEY = SigningKey.from_seed(b"\3" * 32)
REQUESTS = st.tuples(
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from(SignStep),
    st.sampled_from([b"a", b"b"]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(REQUESTS, max_size=25), st.integers(0, 5))
def test_one_message_at_most_is_ever_signed_for_one_moment(
    requests: list[tuple[int, int, SignStep, bytes, bool]], torn: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signer"
        signer = Signer(path, KEY)
        given_out: dict[tuple[int, int, int], bytes] = {}
        newest = (0, 0, 0)
        for height, round_, step, message, restart in requests:
            moment = (height, round_, int(step))
            try:
                signature = signer.sign(height, round_, step, message)
            except DoubleSignRefused:
                assert moment <= newest
                assert moment < newest or given_out[moment] != message
            else:
                assert verify_signature(KEY.public_key, message, signature)
                assert given_out.setdefault(moment, message) == message
                assert moment >= newest
                newest = moment
            if restart:
                signer.close()
                with path.open("ab") as file:
                    file.write(bytes(torn))
                signer = Signer(path, KEY)
        signer.close()
        assert {signed.moment: signed.message for signed in read_signed(path)} == given_out


def test_the_identical_message_gets_the_identical_signature_after_a_restart(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "s", KEY)
    first = signer.sign(5, 1, SignStep.PREVOTE, b"vote")
    signer.close()
    again = Signer(tmp_path / "s", KEY)
    assert again.sign(5, 1, SignStep.PREVOTE, b"vote") == first
    with pytest.raises(DoubleSignRefused, match="height 5, round 1, prevote, but this key already signed another"):
        again.sign(5, 1, SignStep.PREVOTE, b"other")
    with pytest.raises(DoubleSignRefused, match=r"height 5, round 0, precommit.*height 5, round 1, prevote"):
        again.sign(5, 0, SignStep.PRECOMMIT, b"vote")
    again.close()


def test_a_large_journal_is_rewritten_and_still_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.node.signer.JOURNAL_BYTES_MAX", 2000)
    signer = Signer(tmp_path / "s", KEY)
    for height in range(1, 100):
        signer.sign(height, 0, SignStep.PREVOTE, b"x" * 50)
        assert (tmp_path / "s").stat().st_size < 2300
    signer.close()
    again = Signer(tmp_path / "s", KEY)
    with pytest.raises(DoubleSignRefused, match="height 99"):
        again.sign(99, 0, SignStep.PREVOTE, b"y")
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "s.lock"]


def test_invalid_second_process_or_key_is_refused(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "s", KEY)
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        Signer(tmp_path / "s", KEY)
    signer.close()
    with pytest.raises(DoubleSignRefused, match="belongs to the key"):
        Signer(tmp_path / "s", SigningKey.from_seed(b"\4" * 32))
    Signer(tmp_path / "s", KEY).close()


def test_invalid_journal_that_goes_backwards_is_refused(tmp_path: Path) -> None:
    for name, height in (("one", 2), ("two", 1)):
        signer = Signer(tmp_path / name, KEY)
        signer.sign(height, 0, SignStep.PROPOSAL, b"x")
        signer.close()
    forged = Journal(tmp_path / "one")
    two = Journal(tmp_path / "two")
    forged.append(two.records[1])
    forged.close()
    two.close()
    with pytest.raises(JournalCorrupted, match="height 1, round 0, proposal follows height 2"):
        Signer(tmp_path / "one", KEY)


CHILD = """
import sys
from pathlib import Path
from runtime.crypto import SigningKey
from runtime.node.signer import Signer, SignStep
signer = Signer(Path(sys.argv[1]), SigningKey.from_seed(b"\\3" * 32))
height = signer.last.height if signer.last else 0
while True:
    height += 1
    for step in SignStep:
        signature = signer.sign(height, 0, step, b"message %d" % height)
        sys.stdout.write(f"{height} {int(step)} {signature.hex()}\\n")
        sys.stdout.flush()
"""


def test_every_signature_that_left_is_remembered_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "s"
    left: dict[tuple[int, int], str] = {}
    for lines in (5, 40):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(lines):
                height, step, signature = child.stdout.readline().split()
                left[int(height), int(step)] = signature
            child.send_signal(signal.SIGKILL)
    remembered = {(signed.height, signed.step): signed.signature.hex() for signed in read_signed(path)}
    assert len(left) == 45
    assert {moment: remembered[moment] for moment in left} == left
