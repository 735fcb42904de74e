"""Progress reaches whoever listens, and no more often than they wish."""

from flows.progress import listening, paced, tracked

Heard = list[tuple[str, int, int]]


def heard(seconds: float | None) -> Heard:
    """What a listener hears of four items of work."""
    told: Heard = []

    def listener(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    with listening(listener if seconds is None else paced(listener, seconds)):
        assert list(tracked("Sewing", iter("abcd"), 4)) == list("abcd")
    return told


def test_a_listener_hears_the_start_and_every_item() -> None:
    assert heard(None) == [("Sewing", done, 4) for done in range(5)]


def test_a_paced_listener_hears_the_start_and_the_end_of_quick_work() -> None:
    assert heard(3600) == [("Sewing", 0, 4), ("Sewing", 4, 4)]


def test_a_paced_listener_hears_every_item_of_slow_work() -> None:
    assert heard(0) == heard(None)
