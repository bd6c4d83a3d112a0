import io
import logging
import sys
from types import SimpleNamespace

import pytest

from xraylib import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def nobody_silences(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def terminal(monkeypatch):
    # In the test itself: pytest sets the streams anew after the fixtures.
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def notebook(monkeypatch):
    """As inside of a Jupyter kernel, whose stream is no terminal: its stream and its output."""
    shown = io.StringIO()

    def show(text):
        shown.seek(0)
        shown.truncate()
        shown.write(text["text/plain"])

    def display(text, **how):
        show(text)
        return SimpleNamespace(update=lambda text, **how: show(text))

    shell = SimpleNamespace(kernel="a kernel")
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return shown


def worked(*seconds):
    """A bar that was updated after so many seconds each, without a test that waits."""
    bar = progress.bar(total=3, description="reading")
    for each in seconds:
        if not bar.disable:
            bar.start_t -= each
            bar.last_print_t -= each
        bar.update()
    return bar


def test_a_log_file_gets_nothing(capsys):
    worked(60)
    assert list(progress.bar("abc", total=3, description="reading")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_the_description_and_the_count(monkeypatch):
    shown = terminal(monkeypatch)
    bar = worked(3)
    assert "reading" in shown.getvalue() and "1/3" in shown.getvalue()
    bar.close()


def test_short_work_gets_no_bar(monkeypatch):
    shown = terminal(monkeypatch)
    bar = worked(1)
    assert shown.getvalue() == ""
    bar.close()


def test_a_notebook_gets_one_line_in_place(monkeypatch, capsys):
    shown = notebook(monkeypatch)
    bar = worked(3, 3)
    assert shown.getvalue().startswith("reading") and "2/3" in shown.getvalue()
    assert not set("\r\n") & set(shown.getvalue())
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_ipython_without_a_kernel_is_not_a_notebook(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    worked(3).close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("place", [terminal, notebook])
def test_the_environment_silences(place, monkeypatch):
    shown = place(monkeypatch)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    worked(3).close()
    assert shown.getvalue() == ""


def test_the_log_is_shown_once_and_in_order(monkeypatch, capsys):
    logger = logging.getLogger("xraylib")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    for _ in range(2):
        progress.show_log()
    logging.getLogger("xraylib.networks.training").info("epoch 1/5")
    logging.getLogger("xraylib.networks.training").debug("no news")
    logging.getLogger("another").info("no news of ours")
    assert capsys.readouterr().out == "epoch 1/5\n"
