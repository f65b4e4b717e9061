"""The registered model: its versions, and which of them is in use."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from minigpt_pipeline.hidden import hide_password
from minigpt_pipeline.model_versions import CHALLENGER, CHAMPION, DECISION_TAG, PREVIOUS_CHAMPION
from minigpt_pipeline.tracking.store import TrackingStoreError, store_errors

MAX_TAG_LENGTH = 5000
"""Characters, of descriptions too; servers' databases take no more."""

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
        """Make the model of a run a version, and the challenger if nothing is decided yet; a run has one version.

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
            version = str(known[0].version)
            if DECISION_TAG in known[0].tags or version in self.aliases().values():
                return version
        else:
            model_id = models[0].model_id
            source = f"models:/{model_id}"
            created = self._client.create_model_version(self.name, source, run_id, model_id=model_id)
            version = str(created.version)
        self._client.set_registered_model_alias(self.name, CHALLENGER, version)
        return version

    def record(self, version: str, decision: Mapping[str, str], description: str | None = None) -> None:
        """Write a decision to the tags of a version, and to its description, which people read."""
        for name, text in decision.items():
            self._client.set_model_version_tag(self.name, version, name, text[:MAX_TAG_LENGTH])
        if description is not None:
            self._client.update_model_version(self.name, version, description[:MAX_TAG_LENGTH])

    def tags(self, version: str) -> dict[str, str]:
        """Return the tags of a version, those of the run that it comes from among them, where that is still there."""
        found = self._client.get_model_version(self.name, version)
        of_run: dict[str, str] = {}
        try:
            of_run = self._client.get_run(found.run_id).data.tags
        except MlflowException as error:
            if not _is(error, RESOURCE_DOES_NOT_EXIST):
                raise
        # What was decided may be of another registered model that has a version of the same run.
        return {**{name: text for name, text in of_run.items() if name != DECISION_TAG}, **found.tags}

    def promote(self, version: str, previous: str | None) -> None:
        """Put a version in use.

        The former champion has its second alias before it loses its first: whoever goes back always finds it.

        Args:
            version: Which.
            previous: What to go back to; null where nothing else can be used, and leaves that alias as it is.
        """
        if previous is not None and previous != version:
            self._client.set_registered_model_alias(self.name, PREVIOUS_CHAMPION, previous)
        self._client.set_registered_model_alias(self.name, CHAMPION, version)
        self.dismiss(version)

    def restore(self, version: str) -> None:
        """Put the previous champion in use; there is none before it."""
        self._client.set_registered_model_alias(self.name, CHAMPION, version)
        if self.aliases().get(PREVIOUS_CHAMPION) == version:
            self._client.delete_registered_model_alias(self.name, PREVIOUS_CHAMPION)

    def dismiss(self, version: str) -> None:
        """Let a version be no challenger any more, and the champion not the one before itself, as behind a crash."""
        aliases = self.aliases()
        if PREVIOUS_CHAMPION in aliases and aliases[PREVIOUS_CHAMPION] == aliases.get(CHAMPION):
            self._client.delete_registered_model_alias(self.name, PREVIOUS_CHAMPION)
        if aliases.get(CHALLENGER) == version:
            self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def find_way_back(self, version: str | None) -> str:
        """Return the version to go back to.

        Args:
            version: Which; null means the previous champion.

        Raises:
            RegistryError: If there is no such version, or it is in use already.
        """
        aliases, versions = self.aliases(), self.versions()
        version = version or aliases.get(PREVIOUS_CHAMPION)
        if version is None:
            raise RegistryError(
                f"{self.name} has no previous champion to go back to: name a version, "
                f"one of {', '.join(versions) or 'none'}"
            )
        if version not in versions:
            raise RegistryError(f"{self.name} has no version {version}, only {', '.join(versions) or 'none'}")
        if version == aliases.get(CHAMPION):
            raise RegistryError(f"Version {version} of {self.name} is in use already")
        return version

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
        version = self.find_way_back(version)
        former = self.aliases().get(CHAMPION)
        self._client.set_registered_model_alias(self.name, CHAMPION, version)
        if former is not None:
            self._client.set_registered_model_alias(self.name, PREVIOUS_CHAMPION, former)
        self.dismiss(version)
        return version

    def log_record(self, version: str, record: Mapping[str, Any]) -> None:
        """Log a decision about a version as an artifact of the run that it comes from, beside those of before."""
        run_id = self._client.get_model_version(self.name, version).run_id
        moment = re.sub(r"[^0-9]", "", record["decided_at"])
        outcome = record["outcome"].replace(" ", "_")
        self._client.log_dict(run_id, dict(record), f"promotion/{moment}_{outcome}.json")

    def versions(self) -> list[str]:
        """Return all versions, the oldest first."""
        found = self._client.search_model_versions(f"name = '{self.name}'")
        return sorted((str(version.version) for version in found), key=int)

    def fetch(self, version: str, folder: Path) -> Path:
        """Copy the model of a version; its other files are left where they are.

        Args:
            version: Which.
            folder: Where to.

        Returns:
            The `trained_model.keras`.

        Raises:
            RegistryError: If the store has no such version, or its artifacts lack the file.
            TrackingStoreError: If the store has the file, or does not say: that tells nothing of the model.
        """
        return self._download(version, f"/{MODEL_FILE}", folder)

    def fetch_all(self, version: str, folder: Path) -> Path:
        """Copy all files of a version, which bring code along: nothing of them may be run unseen.

        Args:
            version: Which.
            folder: Where to.

        Returns:
            The folder with the `MLmodel`.

        Raises:
            RegistryError: If the store has no such version, or its artifacts lack the model.
            TrackingStoreError: If the store has the file, or does not say: that tells nothing of the model.
        """
        copied = self._download(version, "", folder)
        if not (copied / MODEL_FILE).is_file():
            raise RegistryError(f"Version {version} of {self.name} has no {MODEL_FILE} that can be fetched")
        return copied

    def _download(self, version: str, path: str, folder: Path) -> Path:
        try:
            uri = f"models:/{self.name}/{version}{path}"
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        except store_errors(OSError) as error:
            told = hide_password(str(error))
            if self._has_file(version):
                raise TrackingStoreError(
                    f"Version {version} of {self.name} is in the store and can't be fetched ({told}): nothing is "
                    "decided; run the same command again when the store answers and the disk has room"
                ) from error
            raise RegistryError(
                f"Version {version} of {self.name} has no {MODEL_FILE} that can be fetched: {told}"
            ) from error

    def _has_file(self, version: str) -> bool:
        """Ask the store for the file of a version; where it does not answer, nobody knows, and that is raised."""
        try:
            files = mlflow.artifacts.list_artifacts(artifact_uri=f"models:/{self.name}/{version}/artifacts")
        except store_errors() as error:
            if _is(error, RESOURCE_DOES_NOT_EXIST):
                return False
            raise TrackingStoreError(
                f"The store does not say whether version {version} is there: {hide_password(str(error))}"
            ) from error
        return any(Path(file.path).name == Path(MODEL_FILE).name for file in files)


def _is(error: Exception, code: int) -> bool:
    return isinstance(error, MlflowException) and bool(error.error_code == ErrorCode.Name(code))
