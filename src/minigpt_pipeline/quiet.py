"""Keeps what libraries say to their developers from between the lines that a user reads."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

STDERR = 2


def quieten() -> None:
    """Quieten TensorFlow, whoever imports it, and warnings about which nobody who starts a run can do anything."""
    # Of its C++, which calls a machine without a GPU an error; what matters comes as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("DO_NOT_TRACK", "true")  # Kedro's telemetry and MLflow's
    # Kedro 1.7 calls what OmegaConf has renamed.
    warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")
    # MLflow asks for an example of the input, though the signature is given, and finds a source of data ambiguous.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\.")
    is_quiet = any(isinstance(finder, _QuietTensorFlow) for finder in sys.meta_path)
    if "tensorflow" not in sys.modules and not is_quiet:
        sys.meta_path.insert(0, _QuietTensorFlow())


class _QuietTensorFlow(MetaPathFinder, Loader):
    """Imports TensorFlow with the descriptor of stderr closed: its C++ logs before it has read its own log level."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Put itself in front of the loader of TensorFlow, once."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            self._loader = spec.loader
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave that to Python."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Import it; what was said is shown if that fails."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _unheard():
            self._loader.exec_module(module)


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep what is written to the descriptor of stderr, and write it there if an error comes."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), STDERR)
        try:
            yield
        except Exception:
            os.dup2(kept, STDERR)
            said.seek(0)
            os.write(STDERR, said.read())
            raise
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
