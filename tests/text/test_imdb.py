import tarfile
from pathlib import Path

import pytest

from minigpt_pipeline.text.imdb import REVIEW_COLUMNS, ArchiveMember, parse_reviews

PAGES = "http://www.imdb.com/title/tt{}/usercomments\n"
MEMBERS = [
    ArchiveMember("aclImdb/train/pos/1_9.txt", "Très bon.".encode()),
    ArchiveMember("aclImdb/train/unsup/0_0.txt", b"No label."),
    ArchiveMember("aclImdb/README", b"Not a review"),
    ArchiveMember("aclImdb/test/neg/0_2.txt", b"Bad."),
    ArchiveMember("aclImdb/train/urls_pos.txt", (PAGES.format("0000007") + PAGES.format("0000008")).encode()),
    ArchiveMember("aclImdb/train/pos/0_10.txt", b"Good."),
]


def test_parse_reviews_gives_one_row_a_labelled_review() -> None:
    reviews = parse_reviews(MEMBERS, include_unlabelled=False)

    assert tuple(reviews.columns) == REVIEW_COLUMNS
    assert reviews["review_id"].tolist() == ["test/neg/0", "train/pos/0", "train/pos/1"]
    assert reviews["rating"].tolist() == [2, 10, 9]
    assert reviews["text"].tolist() == ["Bad.", "Good.", "Très bon."]


def test_parse_reviews_takes_the_film_from_the_line_of_the_number() -> None:
    movie_ids = parse_reviews(MEMBERS, include_unlabelled=False).set_index("review_id")["movie_id"]

    assert movie_ids["train/pos/0"] == "tt0000007"
    assert movie_ids["train/pos/1"] == "tt0000008"
    assert movie_ids.isna()["test/neg/0"]


def test_parse_reviews_does_not_depend_on_the_order_of_the_files() -> None:
    there, back = (parse_reviews(members, include_unlabelled=True) for members in (MEMBERS, MEMBERS[::-1]))

    assert there.equals(back)


def test_parse_reviews_reads_unlabelled_reviews_when_asked() -> None:
    unlabelled = parse_reviews(MEMBERS, include_unlabelled=True).set_index("review_id").loc["train/unsup/0"]

    assert unlabelled["text"] == "No label."
    assert unlabelled[["label", "rating"]].isna().all()


def test_parse_reviews_names_files_that_are_none_where_reviews_lie(caplog: pytest.LogCaptureFixture) -> None:
    names = ["aclImdb/train/pos/abc.txt", "../evil.txt", "/etc/passwd", "aclImdb/test/neg/1.txt", "x", "y"]
    strange = [ArchiveMember(name, b"\xff") for name in names]

    assert parse_reviews(MEMBERS + strange, include_unlabelled=True).equals(parse_reviews(MEMBERS, True))
    assert caplog.messages == [
        "6 files of the archive are no reviews and were passed over: 'aclImdb/train/pos/abc.txt', '../evil.txt', "
        "'/etc/passwd', 'aclImdb/test/neg/1.txt', 'x', ..."
    ]


def test_parse_reviews_refuses_an_archive_without_reviews() -> None:
    with pytest.raises(ValueError, match="no review in the archive: expected files such as aclImdb/train"):
        parse_reviews([ArchiveMember("holiday/photo.jpg", b"\xff")], include_unlabelled=False)


def test_parse_reviews_names_the_file_that_is_not_utf8() -> None:
    with pytest.raises(ValueError, match=r"0_1\.txt is not UTF-8: byte 0xff at position 3"):
        parse_reviews([ArchiveMember("aclImdb/train/neg/0_1.txt", b"abc\xff")], include_unlabelled=False)


@pytest.mark.slow
def test_parse_reviews_reads_the_whole_real_archive(imdb_archive: Path) -> None:
    with tarfile.open(imdb_archive, "r|gz") as archive:
        files = (ArchiveMember(m.name, archive.extractfile(m).read()) for m in archive if m.isfile())  # type: ignore[union-attr]
        reviews = parse_reviews(files, include_unlabelled=False)

    assert len(reviews) == 50_000
    assert reviews["label"].value_counts().to_dict() == {"neg": 25_000, "pos": 25_000}
    assert reviews["movie_id"].notna().all()
    assert reviews.groupby("movie_id").size().max() == 30
    assert reviews["text"].duplicated().sum() == 418
