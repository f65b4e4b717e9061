"""Draw the pictures of docs/architecture.md from the code: `make docs` writes them, a test sees that they are so."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
from kedro.pipeline import Pipeline

from minigpt_pipeline.pipeline_registry import register_pipelines

PAGE = Path(__file__).parent / "architecture.md"
PACKAGE = "minigpt_pipeline"
COMPOSED = {"data", "retraining", "__default__"}
ENTRANCES = {"__main__", "doctor", "pipeline_registry", "settings"}
"""Where a process begins: they import what they start."""


def draw_pipelines(pipelines: dict[str, Pipeline]) -> str:
    """Return, in Mermaid's words, which pipeline makes what another one reads."""
    stages = {name: pipeline for name, pipeline in pipelines.items() if name not in COMPOSED}
    makers = {dataset: name for name, pipeline in stages.items() for dataset in pipeline.all_outputs()}
    crossing: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, pipeline in stages.items():
        for dataset in sorted(pipeline.inputs()):
            if dataset.startswith("params:"):
                continue
            maker = makers.get(dataset)
            crossing[maker or "", name].append(dataset)
    lines = ["flowchart TD"]
    for (maker, reader), datasets in sorted(crossing.items()):
        label = "<br>".join(datasets)
        if maker:
            lines.append(f'    {maker} -- "{label}" --> {reader}')
        else:
            lines += [f"    {dataset}[({dataset})] --> {reader}" for dataset in datasets]
    return "\n".join(lines)


def draw_rooms() -> str:
    """Return, in Mermaid's words, which part of the package imports which, as far as no other part says so already."""
    graph = grimp.build_graph(PACKAGE)
    imports: dict[str, set[str]] = defaultdict(set)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            rooms = _room_of(importer), _room_of(imported)
            if rooms[0] != rooms[1] and "" not in rooms and rooms[1] not in ENTRANCES:
                imports[rooms[0]].add(rooms[1])
    return "\n".join(["flowchart TD", *_reduce(imports)])


def _room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _reduce(imports: dict[str, set[str]]) -> Iterator[str]:
    """Leave out what follows from the rest."""

    def reach(room: str) -> set[str]:
        found = set(imports[room])
        return found.union(*(reach(each) for each in found))

    for room in sorted(imports):
        indirect = set().union(*(reach(each) for each in imports[room]))
        for imported in sorted(imports[room] - indirect):
            yield f"    {room} --> {imported}"


def write(page: str) -> str:
    """Return the page with its pictures drawn anew."""
    pictures = {"pipelines": draw_pipelines(register_pipelines()), "rooms": draw_rooms()}
    for name, picture in pictures.items():
        mark = f"<!-- {name}: drawn by make docs -->\n```mermaid\n"
        before, found, rest = page.partition(mark)
        _, end, after = rest.partition("```")
        page = f"{before}{mark}{picture}\n{end}{after}"
        if not (found and end):
            raise ValueError(f"{PAGE.name} has no place for the picture of the {name}")
    return page


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")
