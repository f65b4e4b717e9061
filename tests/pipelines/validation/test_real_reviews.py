"""What the base environment makes of the real reviews, where they are."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from minigpt_pipeline.parameters import ValidationParameters
from minigpt_pipeline.pipelines.validation.nodes import accept_reviews, check_reviews
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews

BOUNDS = Path(__file__).parents[3] / "conf/base/parameters_validation.yml"


def read_members(path: Path) -> Iterator[ArchiveMember]:
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            if file := archive.extractfile(member):
                yield ArchiveMember(member.name, file.read())


@pytest.mark.slow
def test_real_reviews_are_accepted_but_for_418_duplicates(imdb_archive: Path) -> None:
    raw_reviews = parse_reviews(read_members(imdb_archive), include_unlabelled=False)
    bounds = ValidationParameters(**yaml.safe_load(BOUNDS.read_text())["validation"])
    checked, rejected, report, *_ = check_reviews(raw_reviews, bounds)
    assert report["reviews"] == {
        "read": 50_000,
        "kept": 49_582,
        "rejected": 418,
        "rejected_by_reason": {"duplicate": 418},
    }
    assert set(rejected["text"]) <= set(checked["text"])
    assert report["warnings"] == ["text_is_unique"]
    assert len(accept_reviews(checked, report)) == 49_582
