"""The registered model as `promotion` sees it, and its entries in the catalog."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.model.saved_model import TrainedModel, load_trained_model
from minigpt_pipeline.model_versions import (
    CHALLENGER,
    CHAMPION,
    DECISION_TAG,
    PREVIOUS_CHAMPION,
    Trial,
    VersionError,
)
from minigpt_pipeline.tracking.own_code import find_foreign

if TYPE_CHECKING:
    from minigpt_pipeline.tracking.model_registry import ModelRegistry

logger = logging.getLogger(__name__)

TRIAL_SECONDS = 300.0
"""That a fresh process has to load a model and write its texts: thirty times what it takes on two cores."""

MAX_PROBLEM_LENGTH = 500
"""Characters: what went wrong is one line of a record."""


class MlflowModelVersion:
    """A version in the MLflow store of this process; see `ModelVersion`.

    Args:
        registry: Of the registered model.
        number: Of the version.
    """

    def __init__(self, registry: "ModelRegistry", number: str) -> None:
        self._registry, self.number = registry, number

    @property
    def settled(self) -> str:
        """What was decided about it; nothing while it is the challenger, unless it has been put in use already."""
        tags, aliases = self._registry.tags(self.number), self._registry.aliases()
        waits = aliases.get(CHALLENGER) == self.number and aliases.get(CHAMPION) != self.number
        if waits or DECISION_TAG not in tags:
            return ""
        return f"the decision of {tags['decided_at']} was {tags[DECISION_TAG]}"

    @property
    def data(self) -> str:
        """The folder of the data that it was trained on; empty where its run does not say."""
        return self._registry.tags(self.number).get("data", "")

    def load(self) -> TrainedModel:
        """Read its file, and make the model.

        Raises:
            VersionError: If that can't be done.
        """
        trained_model = self.read()
        with self._telling_what_is_wrong():
            trained_model.load_model()
        return trained_model

    def read(self) -> TrainedModel:
        """Read its file; TensorFlow is not needed for it.

        Raises:
            VersionError: If that can't be done.
        """
        with self.fetch() as path, self._telling_what_is_wrong(path):
            return load_trained_model(path)

    def try_out(self, prompts: Sequence[str]) -> Trial:
        """Load it in a fresh process, and let it continue each prompt.

        The process runs the code that the version brings along, as whoever serves it with MLflow would, where that is
        the code of this project, byte for byte. Other code is not run: whoever may write to the store may have put it
        there.
        """
        from minigpt_pipeline.tracking.model_logging import pack_model
        from minigpt_pipeline.tracking.model_registry import MODEL_FILE, RegistryError

        with tempfile.TemporaryDirectory() as temporary:
            try:
                model = self._registry.fetch_all(self.number, Path(temporary, "version"))
            except RegistryError as error:
                return Trial(_first_line(error))
            file = model / MODEL_FILE
            if foreign := find_foreign(model):
                logger.warning(
                    "Version %s of %s brings along what is not of this version of the project (%s): that is not run, "
                    "and its weights are tried out with this project's code",
                    self.number,
                    self._registry.name,
                    foreign,
                )
                model = Path(temporary, "packed")
                pack_model(file, model)
            return _try_out(model, prompts, file.stat().st_size / 1e6)

    @contextmanager
    def fetch(self) -> Iterator[Path]:
        """Give a copy of its file, for as long as it is needed.

        Raises:
            VersionError: If the store has none.
        """
        from minigpt_pipeline.tracking.model_registry import RegistryError

        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._registry.fetch(self.number, Path(folder))
            except RegistryError as error:
                raise VersionError(_first_line(error)) from error
            yield path

    @contextmanager
    def _telling_what_is_wrong(self, path: Path | None = None) -> Iterator[None]:
        """Turn whatever a file of another version of the project can raise into a `VersionError`."""
        try:
            yield
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RuntimeError,
            ImportError,
            OSError,
        ) as error:
            told = _first_line(error).replace(str(path), path.name) if path else _first_line(error)
            raise VersionError(f"version {self.number}: {told}") from error


def _try_out(model: Path, prompts: Sequence[str], megabytes: float) -> Trial:
    """Run a folder with a model in a fresh process."""
    script = Path(__file__).with_name("try_out.py")
    command = [sys.executable, "-P", str(script), str(model), json.dumps(list(prompts))]
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Trial(f"a fresh process had no texts of it after {TRIAL_SECONDS:.0f} s", megabytes=megabytes)
    if ended.returncode:
        last_line = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        told = last_line.replace(f"{model}/artifacts/", "")
        return Trial(f"a fresh process can't use it: {_shorten(told)}", megabytes=megabytes)
    return Trial(megabytes=megabytes, **json.loads(ended.stdout.splitlines()[-1]))


class MlflowModelVersions:
    """The versions among which to decide; see `ModelVersions`.

    Args:
        registry: Of the registered model.
        run_id: The open run, which is the candidate's.
    """

    def __init__(self, registry: "ModelRegistry", run_id: str) -> None:
        self._registry, self._run_id = registry, run_id

    def candidate(self) -> MlflowModelVersion:
        """The version of the open run's model, registered where it is not yet."""
        return MlflowModelVersion(self._registry, self._registry.register(self._run_id))

    def incumbents(self) -> list[tuple[str, MlflowModelVersion]]:
        """The champion and the previous champion; one version once, where a move of aliases was cut short."""
        aliases = self._registry.aliases()
        found = {aliases[name]: name for name in (PREVIOUS_CHAMPION, CHAMPION) if name in aliases}
        return [
            (alias, MlflowModelVersion(self._registry, number))
            for number, alias in sorted(found.items(), key=lambda item: item[1] != CHAMPION)
        ]

    def describe_run(self) -> Mapping[str, str]:
        """Return what the open run says of itself, and the time."""
        import mlflow

        tags = mlflow.get_run(self._run_id).data.tags
        return {
            "run_id": self._run_id,
            "cycle": tags.get("cycle", ""),
            "environment": tags.get("environment", ""),
            "git_commit": tags.get("git_commit", ""),
            "decided_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        }


class ModelVersionsDataset(AbstractDataset[NoReturn, MlflowModelVersions]):
    """What `promotion` decides among.

    Args:
        registered_model: Its name in MLflow.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, registered_model: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the name; nothing is asked before it is needed."""
        self.registered_model = registered_model
        self.metadata = metadata

    def load(self) -> MlflowModelVersions:
        """Return the versions.

        Raises:
            DatasetError: If no run is open.
        """
        import mlflow

        run = mlflow.active_run()
        if run is None:
            raise DatasetError(
                "No MLflow run is open: `model_versions` can only be loaded inside a `kedro run`"
            )
        return MlflowModelVersions(_open_registry(self.registered_model), run.info.run_id)

    def news(self) -> str:
        """Say what there is to decide though no model was trained; empty where there is nothing."""
        registry = _open_registry(self.registered_model)
        aliases = registry.aliases()
        if CHALLENGER in aliases:
            return f"nothing is decided yet about version {aliases[CHALLENGER]}"
        if CHAMPION not in aliases:
            return f"{self.registered_model} has no champion" if PREVIOUS_CHAMPION in aliases else ""
        try:
            MlflowModelVersion(registry, aliases[CHAMPION]).read()
        except VersionError as error:
            return f"the champion can't be read: {error}"
        return ""

    def save(self, data: NoReturn) -> None:
        """Refuse: aliases are moved by `registry`."""
        raise DatasetError("`model_versions` can't be saved: `registry` moves the aliases")

    def _describe(self) -> dict[str, Any]:
        return {"registered_model": self.registered_model}


class RegistryDataset(AbstractDataset[dict[str, Any], NoReturn]):
    """Takes the record of a decision: it is logged, then written to the version, and then the aliases move.

    Args:
        registered_model: Its name in MLflow.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, registered_model: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the name."""
        self.registered_model = registered_model
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Record a decision, and do what it says; done twice, it comes to the same."""
        import mlflow

        registry = _open_registry(self.registered_model)
        version, outcome, champion = data["candidate"]["version"], data["outcome"], data["champion"]
        is_settled = bool(data["candidate"]["settled"])
        described = [champion] if outcome == "restored" else []
        described += [] if is_settled else [version]
        for number in described:
            registry.log_record(number, data)
            registry.record(number, describe_decision(data), "\n\n".join(data["reasons"]))
        if not is_settled:
            mlflow.set_tag(DECISION_TAG, outcome)
        match outcome:
            case "promoted":
                usable = [one["version"] for one in data["incumbents"] if not one["problem"]]
                registry.promote(version, next(iter(usable), None))
            case "restored":
                registry.restore(champion)
        registry.dismiss(version)

    def load(self) -> NoReturn:
        """Refuse: `model_versions` reads."""
        raise DatasetError("`registry` can't be loaded: `model_versions` reads what it has written")

    def _describe(self) -> dict[str, Any]:
        return {"registered_model": self.registered_model}


class ChampionDataset(AbstractDataset[NoReturn, TrainedModel | None]):
    """The model in use.

    Args:
        registered_model: Its name in MLflow.
        data: The folder of the data that it must have been trained on.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, registered_model: str, data: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the name."""
        self.registered_model = registered_model
        self.data = data
        self.metadata = metadata

    def load(self) -> TrainedModel | None:
        """Return the champion; null where there is none, it is of other data, or this process can't read it."""
        registry = _open_registry(self.registered_model)
        number = registry.aliases().get(CHAMPION)
        if number is None:
            return None
        version = MlflowModelVersion(registry, number)
        if version.data != self.data:
            logger.info("The champion, version %s, is of the data in %s, and left out", number, version.data)
            return None
        try:
            return version.read()
        except VersionError as error:
            logger.warning("The champion is left out: %s", error)
            return None

    def save(self, data: NoReturn) -> None:
        """Refuse: `registry` says which model is in use."""
        raise DatasetError("`champion` can't be saved: `registry` moves the aliases")

    def _describe(self) -> dict[str, Any]:
        return {"registered_model": self.registered_model}


def describe_decision(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a version that a record was made for."""
    figures = {one["version"]: one["figures"] for one in (record["candidate"], *record["incumbents"])}
    decider = {f"decision_{name}": record[name] for name in ("run_id", "cycle", "environment", "git_commit")}
    return {
        "decided_at": record["decided_at"],
        "decision_reasons": " | ".join(record["reasons"]),
        "decision_figures": json.dumps(figures),
        "decision_thresholds": json.dumps(record["thresholds"]),
        "decision_data": json.dumps(record["data"]),
        **decider,
        DECISION_TAG: record["outcome"],
    }


def _open_registry(name: str) -> "ModelRegistry":
    from minigpt_pipeline.tracking.model_registry import ModelRegistry

    return ModelRegistry(name)


def _first_line(error: BaseException) -> str:
    return _shorten(str(error).strip().partition("\n")[0])


def _shorten(text: str) -> str:
    from minigpt_pipeline.hidden import hide_password

    return hide_password(text)[:MAX_PROBLEM_LENGTH]
