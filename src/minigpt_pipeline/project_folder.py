"""The folder in which commands work: a checkout, or one that has the `conf/` of the installed package."""

from pathlib import Path

PACKAGE = "minigpt_pipeline"


def open_project(folder: Path) -> None:
    """Let Kedro know the project of a folder in this process.

    Args:
        folder: A checkout; or where the archive of `conf/` was unpacked that `kedro package` writes.

    Raises:
        SystemExit: If it is neither: whoever called a command there reads what to do.
    """
    from kedro.framework.project import configure_project
    from kedro.framework.startup import bootstrap_project

    if is_checkout(folder):
        bootstrap_project(folder)
    elif (folder / "conf/base").is_dir():
        configure_project(PACKAGE)
    else:
        raise SystemExit(
            f"Error: {folder} is no project: it has neither pyproject.toml nor conf/base. Change to the folder of the "
            f"project, or unpack conf-{PACKAGE}.tar.gz here (docs/deployment.md)"
        )


def is_checkout(folder: Path) -> bool:
    """Whether a folder is a project of Kedro, and not one that has its configuration alone."""
    return (folder / "pyproject.toml").is_file()
