import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spool import SpoolFeed, SpoolRecord, SpoolWriter, last_step, read_spool

NOW = 1_700_000_000_000


def write_steps(writer: SpoolWriter, first: int, last: int, time_ms: int = NOW) -> None:
    for step in range(first, last + 1):
        writer.write(step, step / 10, {"loss": 1 / step}, time_ms + step)


def steps(records: list[SpoolRecord]) -> list[int]:
    return [record.step for record in records]


def test_what_was_written_is_read_back_exactly(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "stage" / "spool.jsonl") as writer:
        writer.write(1, 0.5, {"loss": 0.1 + 0.2, "lr": 1e-300}, NOW)
    records, end = read_spool(writer.path)
    assert records == [SpoolRecord(1, 0.5, NOW, {"loss": 0.1 + 0.2, "lr": 1e-300})]
    assert end == writer.path.stat().st_size == writer.position()


def test_a_loss_that_is_not_a_number_is_recorded_as_such(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "spool") as writer:
        writer.write(1, 0.0, {"nan": math.nan, "up": math.inf, "down": -math.inf}, NOW)
    metrics = read_spool(writer.path)[0][0].metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["up"], metrics["down"]) == (math.inf, -math.inf)


def test_every_record_is_on_its_way_before_write_returns(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool")
    write_steps(writer, 1, 3)
    assert steps(read_spool(writer.path)[0]) == [1, 2, 3]
    writer.close()
    writer.close()


def test_a_missing_spool_holds_nothing(tmp_path: Path) -> None:
    assert read_spool(tmp_path / "none") == ([], 0)
    assert last_step(tmp_path / "none") == 0
    assert SpoolFeed(tmp_path / "none").read() == []


def test_reading_continues_where_it_stopped(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "spool") as writer:
        write_steps(writer, 1, 2)
        first, offset = read_spool(writer.path)
        write_steps(writer, 3, 5)
        second, _ = read_spool(writer.path, offset)
    assert (steps(first), steps(second)) == ([1, 2], [3, 4, 5])
    assert last_step(writer.path) == 5


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_spool_cut_at_any_byte_holds_the_whole_lines_before_it(tmp_path_factory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "spool"
    with SpoolWriter(path) as writer:
        ends = []
        for step in range(1, 6):
            write_steps(writer, step, step)
            ends.append(writer.position())
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    whole = sum(end <= cut for end in ends)
    assert steps(read_spool(path)[0]) == list(range(1, whole + 1))

    # A writer that comes after the kill continues with whole lines.
    with SpoolWriter(path) as writer:
        assert writer.position() == ([0, *ends][whole])
        write_steps(writer, whole + 1, 6)
    assert steps(read_spool(path)[0]) == [1, 2, 3, 4, 5, 6]


def test_resuming_at_a_checkpoint_forgets_the_steps_that_will_be_replayed(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "spool") as writer:
        write_steps(writer, 1, 3)
        checkpoint = writer.position()
        write_steps(writer, 4, 6)
    with SpoolWriter(tmp_path / "spool") as writer:
        writer.truncate(checkpoint)
        assert writer.position() == checkpoint
        write_steps(writer, 4, 7)
    assert steps(read_spool(writer.path)[0]) == [1, 2, 3, 4, 5, 6, 7]


def test_a_spool_shorter_than_its_checkpoint_keeps_what_is_there_and_says_so(tmp_path: Path, caplog) -> None:
    with SpoolWriter(tmp_path / "spool") as writer:
        write_steps(writer, 1, 2)
        size = writer.position()
        writer.truncate(size + 100)
        write_steps(writer, 3, 3)
    assert steps(read_spool(writer.path)[0]) == [1, 2, 3]
    assert f"holds {size} bytes where the checkpoint expects {size + 100}" in caplog.text


def test_a_line_that_is_no_record_is_skipped_and_reported(tmp_path: Path, caplog) -> None:
    path = tmp_path / "spool"
    good = json.dumps({"step": 1, "epoch": 0.1, "time_ms": NOW, "metrics": {}})
    path.write_text(f'{good}\n\x00\x00\n{{"step": 2}}\n[]\n{good}\n')
    assert steps(read_spool(path)[0]) == [1, 1]
    assert caplog.text.count("not a record") == 3


@pytest.mark.parametrize("replay_shift_ms", [0, 500_000])
def test_a_feed_starts_again_when_the_spool_was_cut_back_and_regrew_behind_its_back(
    tmp_path: Path, replay_shift_ms: int
) -> None:
    path = tmp_path / "spool"
    with SpoolWriter(path) as writer:
        write_steps(writer, 1, 2)
        checkpoint = writer.position()
        write_steps(writer, 3, 5)
        feed = SpoolFeed(path)
        assert steps(feed.read()) == [1, 2, 3, 4, 5]
        # Times have the same number of digits, so the new lines lie exactly where the old ones did.
        writer.truncate(checkpoint)
        write_steps(writer, 3, 8, NOW + replay_shift_ms)
    # Lines that are the same to the byte are the same records; anything else is read from the top.
    assert steps(feed.read()) == ([6, 7, 8] if replay_shift_ms == 0 else [1, 2, 3, 4, 5, 6, 7, 8])
    assert feed.read() == []


def test_a_feed_whose_spool_vanished_starts_again_with_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    feed = SpoolFeed(path)
    with SpoolWriter(path) as writer:
        write_steps(writer, 1, 2)
    assert steps(feed.read()) == [1, 2]
    path.unlink()
    assert feed.read() == []
    with SpoolWriter(path) as writer:
        write_steps(writer, 1, 1)
    assert steps(feed.read()) == [1]
