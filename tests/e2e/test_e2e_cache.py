"""Runs without the cache of decoded images."""

from pathlib import Path

from conftest import DEMO, PLAIN, Command, Filled, answer


def test_a_run_without_a_cache_gives_the_same_numbers_and_keeps_no_decoded_image(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    result = answer(
        harness("run", "tiny.yaml", *PLAIN, *DEMO, "--rows", "1", "--data", photographs, "--no-cache", "--json")
    )
    assert result["rows"][0]["metrics"] == filled.answer["rows"][0]["metrics"]
    assert not list(place.rglob("*.npy"))
