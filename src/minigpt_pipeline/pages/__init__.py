"""What all pages of the project have in common: they are one file, look alike, and ask for nothing from anywhere.

A template lies in the folder `templates` of its package, and includes `page.css`.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def make_environment(package: str) -> "Environment":
    """Return what renders the templates of a package: all text is escaped, and a name that is not there is an error."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__name__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = make_breakable
    return environment


def make_breakable(name: str) -> "Markup":
    """Escape a name, and let a narrow page break it behind its dots, slashes, underscores and pluses."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[/._+])", name))
