"""What the library logs while a command runs: one line each, which steers no terminal."""

from __future__ import annotations

import logging

from missionlink.cli.logging import log_shown_by


def test_a_warning_is_one_line_without_a_traceback_and_steers_nothing(capsys):
    lines: list[str] = []
    log = logging.getLogger("missionlink.handlers")
    with log_shown_by(lines.append):
        try:
            raise ValueError("bad\n\x1b[2J")
        except ValueError:
            log.warning("the handler for %r failed", "an event", exc_info=True)
        log.info("no news")
    assert lines == ["the handler for 'an event' failed: ValueError: bad\\n\\x1b[2J"]
    assert capsys.readouterr() == ("", "")


def test_an_error_without_a_text_is_its_name():
    lines: list[str] = []
    with log_shown_by(lines.append):
        try:
            raise TimeoutError
        except TimeoutError:
            logging.getLogger("missionlink").warning("it failed", exc_info=True)
    assert lines == ["it failed: TimeoutError"]


def test_the_innermost_shows_it_and_all_is_as_it_was_afterwards():
    logger = logging.getLogger("missionlink")
    before = (list(logger.handlers), logger.propagate)
    outer: list[str] = []
    inner: list[str] = []
    with log_shown_by(outer.append):
        with log_shown_by(inner.append):
            logger.warning("one")
        logger.warning("two")
    assert (outer, inner) == (["two"], ["one"])
    assert (list(logger.handlers), logger.propagate) == before
