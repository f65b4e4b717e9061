"""The registered model: its versions, and which of them is in use."""

from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

CHAMPION = "champion"
"""The version in use."""
PREVIOUS_CHAMPION = "previous_champion"
"""The one that was in use before it."""
CHALLENGER = "challenger"
"""One about which nothing is decided yet."""

MODEL_FILE = "artifacts/trained_model.keras"


class RegistryError(RuntimeError):
    """The registry does not have what is asked for."""


class ModelRegistry:
    """Versions of one registered model in the MLflow store of this process.

    Each alias moves in one step of MLflow's own. Those that belong together move in an order that leaves one champion
    behind every step, also where the process ends between two of them.

    Args:
        name: Of the registered model.
        client: Asks the store.
    """

    def __init__(self, name: str, client: MlflowClient | None = None) -> None:
        self.name = name
        self._client = client or MlflowClient()

    def aliases(self) -> dict[str, str]:
        """Return the version of each alias; empty where no model was registered yet."""
        try:
            found = self._client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if _is(error, RESOURCE_DOES_NOT_EXIST):
                return {}
            raise
        return {alias: str(version) for alias, version in found.items()}

    def register(self, run_id: str) -> str:
        """Make the model of a run a version, and the challenger if it is new; a run has one version.

        Args:
            run_id: A run that has logged a model.

        Returns:
            The version.

        Raises:
            RegistryError: If the run has logged no model.
        """
        run = self._client.get_run(run_id)
        models = run.outputs.model_outputs if run.outputs else []
        if not models:
            raise RegistryError(
                f"Run {run_id} has logged no model: `kedro run --pipelines training` trains and logs one"
            )
        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if not _is(error, RESOURCE_ALREADY_EXISTS):
                raise
        if known := self._client.search_model_versions(f"name = '{self.name}' and run_id = '{run_id}'"):
            return str(known[0].version)
        model_id = models[0].model_id
        version = self._client.create_model_version(
            self.name, f"models:/{model_id}", run_id, model_id=model_id
        ).version
        self._client.set_registered_model_alias(self.name, CHALLENGER, version)
        return str(version)

    def record(self, version: str, decision: Mapping[str, str]) -> None:
        """Write a decision to the tags of a version."""
        for name, text in decision.items():
            self._client.set_model_version_tag(self.name, version, name, text)

    def promote(self, version: str) -> None:
        """Put a version in use.

        The former champion has its second alias before it loses its first: whoever goes back always finds it.
        """
        former = self.aliases().get(CHAMPION)
        if former is not None and former != version:
            self._client.set_registered_model_alias(self.name, PREVIOUS_CHAMPION, former)
        self._client.set_registered_model_alias(self.name, CHAMPION, version)
        self.dismiss(version)

    def dismiss(self, version: str) -> None:
        """Let a version be no challenger any more."""
        if self.aliases().get(CHALLENGER) == version:
            self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def go_back(self, version: str | None = None) -> str:
        """Put an earlier version in use; the one that was in use becomes the previous champion.

        The champion moves first: whoever is interrupted behind that has gone back, and finds nothing to go back to
        from there, instead of a previous champion that is the champion itself.

        Args:
            version: Which; null means the previous champion.

        Returns:
            The version in use now.

        Raises:
            RegistryError: If there is no such version, or it is in use already.
        """
        aliases = self.aliases()
        version = version or aliases.get(PREVIOUS_CHAMPION)
        if version is None:
            raise RegistryError(
                f"{self.name} has no previous champion to go back to: name a version, "
                f"one of {', '.join(self.versions()) or 'none'}"
            )
        if version not in self.versions():
            raise RegistryError(
                f"{self.name} has no version {version}, only {', '.join(self.versions()) or 'none'}"
            )
        former = aliases.get(CHAMPION)
        if version == former:
            raise RegistryError(f"Version {version} of {self.name} is in use already")
        self._client.set_registered_model_alias(self.name, CHAMPION, version)
        if former is not None:
            self._client.set_registered_model_alias(self.name, PREVIOUS_CHAMPION, former)
        return version

    def versions(self) -> list[str]:
        """Return all versions, the oldest first."""
        found = self._client.search_model_versions(f"name = '{self.name}'")
        return sorted((str(version.version) for version in found), key=int)

    def fetch(self, version: str, folder: Path) -> Path:
        """Copy the model of a version.

        Args:
            version: Which.
            folder: Where to.

        Returns:
            The `trained_model.keras`.

        Raises:
            RegistryError: If the store has no such version, or its artifacts lack the file.
        """
        try:
            model = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{self.name}/{version}", dst_path=str(folder)
            )
        except (MlflowException, OSError) as error:
            raise RegistryError(f"Version {version} of {self.name} can't be fetched: {error}") from error
        path = Path(model, MODEL_FILE)
        if not path.is_file():
            raise RegistryError(f"Version {version} of {self.name} has no {MODEL_FILE} among its artifacts")
        return path


def _is(error: MlflowException, code: int) -> bool:
    return bool(error.error_code == ErrorCode.Name(code))
