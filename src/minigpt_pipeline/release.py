"""`python -m minigpt_pipeline.release`: the versions of the registered model, and the way back to an earlier one."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from minigpt_pipeline.commit import read_commit
from minigpt_pipeline.hidden import escape
from minigpt_pipeline.model_versions import CHAMPION, DECISION_TAG
from minigpt_pipeline.project_folder import open_project
from minigpt_pipeline.quiet import quieten


class Release:
    """The registered model of a project.

    Args:
        project: Its root.

    Raises:
        TrackingStoreError: If the MLflow store does not answer.
    """

    def __init__(self, project: Path) -> None:

        from minigpt_pipeline.tracking.model_registry import ModelRegistry
        from minigpt_pipeline.tracking.store import TrackingSettings, connect

        open_project(project)
        self._project = project
        configuration = self._read_configuration(None)
        connect(TrackingSettings(**configuration["mlflow"]), project)
        self._registry = ModelRegistry(configuration["globals"]["registered_model"])

    @property
    def name(self) -> str:
        """Of the registered model."""
        return self._registry.name

    def list_versions(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield number, aliases and tags of each version, the newest first."""
        aliases = self._registry.aliases()
        for number in reversed(self._registry.versions()):
            its_aliases = sorted(alias for alias, version in aliases.items() if version == number)
            yield number, ", ".join(its_aliases), self._registry.tags(number)

    def go_back(self, version: str | None, reason: str) -> tuple[str, str | None]:
        """Put an earlier version in use, once a fresh process has written texts with it.

        Args:
            version: Which; null means the previous champion.
            reason: Is recorded with it.

        Returns:
            The version that is in use now, and the one that was.

        Raises:
            RegistryError: If there is no such version, it is in use already, or it can't be used.
        """
        from minigpt_pipeline.tracking.model_registry import RegistryError
        from minigpt_pipeline.tracking.model_versions import MlflowModelVersion

        version = self._registry.find_way_back(version)
        former = self._registry.aliases().get(CHAMPION)
        tags = self._registry.tags(version)
        prompts = self._read_configuration(tags.get("environment"))["parameters"]["generation"]["prompts"]
        problem = MlflowModelVersion(self._registry, version).try_out(prompts).problem
        if problem:
            raise RegistryError(
                f"Version {version} of {self.name} can't be used, and {name_version(former)} stays in use: {problem}"
            )
        record = {
            "outcome": "rolled back",
            "champion": version,
            "former_champion": former,
            "reasons": [reason],
            "git_commit": str(read_commit(self._project)),
            "decided_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        }
        self._registry.log_record(version, record)
        told = f"{record['decided_at']}: from {name_version(former)} to version {version}, {reason}"
        for number in filter(None, {version, former}):
            self._registry.record(number, {"rollback": told})
        return self._registry.go_back(version), former

    def _read_configuration(self, environment: str | None) -> Any:
        from kedro.framework.session import KedroSession

        known = environment if environment and (self._project / "conf" / environment).is_dir() else None
        with KedroSession.create(self._project, env=known or "base") as session:
            return session.load_context().config_loader


def name_version(number: str | None) -> str:
    """Name a version in a sentence; null where no version is in use."""
    return "none" if number is None else f"version {number}"


def describe(number: str, aliases: str, tags: dict[str, str]) -> Iterator[str]:
    """Say in a line which version it is, and below what was decided about it."""
    facts = [f"[bold]{number}[/bold]", f"[green]{aliases}[/green]" if aliases else ""]
    figures = json.loads(tags.get("decision_figures", "{}")).get(number, {})
    if DECISION_TAG in tags:
        facts.append(f"{tags[DECISION_TAG]} {tags['decided_at']}")
    if (perplexity := figures.get("perplexity")) is not None:
        facts.append(f"perplexity {perplexity:.2f}")
    facts.append(f"of {tags.get('environment', 'an unknown environment')}")
    yield "  ".join(filter(None, facts))
    for reason in (tags.get("decision_reasons"), tags.get("rollback")):
        if reason:
            yield f"   {escape(reason)}"


def main(arguments: list[str] | None = None) -> int:
    """List the versions, or go back to one; 1 where that can't be done."""
    parser = argparse.ArgumentParser(prog="python -m minigpt_pipeline.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("versions", help="list all versions, with what was decided about each")
    rollback = commands.add_parser("rollback", help="put an earlier version in use")
    rollback.add_argument("--version", help="which one; the previous champion, if it is left out")
    rollback.add_argument("--reason", default="by hand", help="why, for the record")
    chosen = parser.parse_args(arguments)
    quieten()
    from minigpt_pipeline.tracking.model_registry import RegistryError
    from minigpt_pipeline.tracking.store import TrackingStoreError, describe_failure

    console = Console(highlight=False)
    try:
        release = Release(Path.cwd())
        if chosen.command == "versions":
            for line in [line for version in release.list_versions() for line in describe(*version)]:
                console.print(line, soft_wrap=True)
            return 0
        with console.status("Trying the version out in a fresh process ..."):
            version, former = release.go_back(chosen.version or None, chosen.reason or "by hand")
    except Exception as error:
        message = describe_failure(error)
        if message is None and not isinstance(error, (RegistryError, TrackingStoreError)):
            raise
        Console(stderr=True, highlight=False).print(f"Error: {escape(message or str(error))}", soft_wrap=True)
        return 1
    console.print(f"Version {version} of {release.name} is in use, in place of {name_version(former)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
