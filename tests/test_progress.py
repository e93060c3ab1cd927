import pytest

from speechbench import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that steps 10 s each time it is read."""
    now = iter(range(0, 10**6, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))


def test_items_pass_through_and_stdout_stays_clean(capsys):
    assert list(progress.track(iter("abc"), "read")) == ["a", "b", "c"]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")  # so short a work needs no line


def test_without_a_screen_there_is_a_line_now_and_then(clock, capsys):
    assert list(progress.track(range(6), "decode dev")) == list(range(6))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "decode dev: 2 of 6, 0:40 left, 0.1/s",
        "decode dev: 4 of 6, 0:20 left, 0.1/s",
        "decode dev: 6 of 6, 0:00 left, 0.1/s",
    ]


def test_where_the_end_is_not_known_only_the_rate_is_told(clock, capsys):
    list(progress.track(iter(range(2)), "listen"))
    assert capsys.readouterr().err == "listen: 2, 0.1/s\n"
    list(progress.track(iter(range(2)), "listen", total=4))
    assert capsys.readouterr().err == "listen: 2 of 4, 0:20 left, 0.1/s\n"


def test_audio_is_counted_in_its_own_seconds(clock, capsys):
    lengths = [1800.0, 1800.0, 3600.0, 7200.0]
    assert list(progress.track_audio(iter(lengths), "render", sum(lengths), lambda seconds: seconds)) == lengths
    assert capsys.readouterr().err.splitlines() == [
        "render: 1:00:00 of 4:00:00, 1:00 left, 180 x real time",
        "render: 4:00:00 of 4:00:00, 0:00 left, 360 x real time",
    ]


def test_on_a_screen_a_bar_is_drawn_on_stderr_and_goes(capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress.track(range(3), "train")) == [0, 1, 2]
    assert list(progress.track_audio([2.0], "render", 2.0, float)) == [2.0]
    assert capsys.readouterr().out == ""


def test_work_is_done_lazily_and_errors_pass():
    def fail():
        yield 1
        raise ValueError("broken")

    results = progress.track(fail(), "read")
    assert next(results) == 1
    with pytest.raises(ValueError, match="broken"):
        next(results)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599.4, "59:59"), (3723, "1:02:03"), (360_000, "100:00:00")],
)
def test_time_left(seconds, text):
    assert progress.time_left(seconds) == text


def test_messages_go_to_stderr(capsys):
    progress.say("wrote report.html")
    assert tuple(capsys.readouterr()) == ("", "wrote report.html\n")
