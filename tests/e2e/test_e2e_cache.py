"""Running without the cache of decoded images."""

from pathlib import Path

from conftest import DEMO, PLAIN, Command, Filled, answer


def test_without_a_cache_the_same_numbers_come_out_and_no_decoded_image_is_kept(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    told = answer(
        harness("run", "tiny.yaml", *PLAIN, *DEMO, "--rows", "1", "--data", photographs, "--no-cache", "--json")
    )
    assert told["rows"][0]["metrics"] == filled.answer["rows"][0]["metrics"]
    assert not list(place.rglob("*.npy"))
