"""What people read in a terminal or a log: without passwords, and without what a terminal would obey."""

import logging
import re
import sys
import traceback
from types import TracebackType

_SECRET = re.compile(
    r"(?<=://)(?P<user>[^:/@\s]*):\S*@"
    r"|(?P<scheme>https?://)[^:/@\s]+@"  # a token in the place of a name
    r"|(?P<name>[?&][\w.%-]*(?:passw|token|secret|key|sig|credential|auth)[\w.%-]*=)[^&\s'\"]*",
    re.IGNORECASE,
)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, name a window or turn the direction of writing; line breaks and tabs are none."""


def hide_password(text: str) -> str:
    """Leave the password, or what is in its place, out of each address in a text."""
    return _SECRET.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    if found["user"] is not None:
        return f"{found['user']}:***@"
    return f"{found['scheme']}***@" if found["scheme"] else f"{found['name']}***"


def show_controls(text: str) -> str:
    """Write characters that a terminal would obey as Python escapes them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape(text: str) -> str:
    """Let rich print a text of somebody else as it is: no markup, and nothing that a terminal would obey."""
    from rich import markup

    return markup.escape(show_controls(text))


class _HidingFormatter(logging.Formatter):
    """Takes the lines of another one, and leaves passwords and control characters out of them."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return show_controls(hide_password(self._inner.format(record)))


def hide_in_logs() -> None:
    """Leave passwords out of whatever the handlers of this process write, tracebacks among it."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, _HidingFormatter):
            handler.setFormatter(_HidingFormatter(handler.formatter or logging.Formatter()))


def print_exception(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Print a traceback as Python does, without passwords; a `sys.excepthook`."""
    shown = "".join(traceback.format_exception(kind, error, where))
    sys.stderr.write(show_controls(hide_password(shown)))
