"""Whatever is wrong, a run ends with one message that says what, where and what next, and leaves whole files.

Everything goes through `kedro run` as a user types it, in this process: most of the seconds of a process are imports.
"""

import errno
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

from minigpt_pipeline.cli import run

pytestmark = pytest.mark.slow

ARCHIVE = "data/01_raw/sample_reviews.tar.gz"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def prepared(make_project: Callable[[str], Path]) -> Path:
    """A project whose data is made."""
    project = make_project("prepared")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(project)
        bootstrap_project(project)
        assert CliRunner().invoke(run, ["--env", "test", "--pipelines", "data"]).exit_code == 0
    return project


@pytest.fixture
def kedro_run(project: Path) -> Run:
    """`kedro run --env test`, with further arguments."""

    def call(*arguments: str, parameters: Mapping[str, str] | None = None) -> Result:
        options = (
            ["--params", ",".join(f"{name}={value}" for name, value in parameters.items())]
            if parameters
            else []
        )
        result = CliRunner().invoke(run, ["--env", "test", *arguments, *options])
        assert not [path for path in project.rglob("*") if ".partial" in path.name]
        return result

    return call


def change_archive(
    project: Path, added: Mapping[str, bytes], keep: Callable[[str], bool] = lambda name: True
) -> None:
    """Add files to the embedded corpus's archive, and leave others out."""
    path = project / ARCHIVE
    buffer = io.BytesIO()
    with tarfile.open(path) as before, tarfile.open(fileobj=buffer, mode="w:gz") as after:
        for member in before:
            if member.isreg() and keep(member.name):
                after.addfile(member, before.extractfile(member))
        for name, content in added.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            after.addfile(member, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())


def assert_refused(result: Result, message: str) -> None:
    """See that a run has ended with one message."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    _, separator, said = result.stderr.partition("Error: ")
    assert separator, result.stderr
    assert re.search(message, said), said
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda content: content[: len(content) // 2],
            r"can't be read as a tar archive .*cut off",
        ),
        (lambda content: b"<html>Not found</html>", r"can't be read as a tar archive"),
        (lambda content: b"", r"can't be read as a tar archive"),
    ],
    ids=["truncated", "something else", "empty"],
)
def test_a_damaged_archive(
    damage: Callable[[bytes], bytes], message: str, project: Path, kedro_run: Run
) -> None:
    path = project / ARCHIVE
    path.write_bytes(damage(path.read_bytes()))

    assert_refused(kedro_run("--pipelines", "ingestion"), message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "{filepath: missing.tar.gz, url: 'http://127.0.0.1:9/a.tar.gz', sha256: abc}",
            r"http://127\.0\.0\.1:9/a\.tar\.gz could not be downloaded .*: .*\. Put the archive there by hand",
        ),
        (
            f"{{filepath: {ARCHIVE}, local_sha256: abc}}",
            rf"{ARCHIVE} has the SHA-256 [0-9a-f]{{64}}, expected abc: replace the file, or correct local_sha256",
        ),
    ],
    ids=["absent and no network", "wrong checksum"],
)
def test_an_archive_that_can_t_be_had(source: str, message: str, project: Path, kedro_run: Run) -> None:
    entry = f"{{type: minigpt_pipeline.datasets.ReviewsArchiveDataset, {source[1:]}"
    (project / "conf/test/catalog_ingestion.yml").write_text(f"reviews_archive: {entry}\n")

    assert_refused(kedro_run("--pipelines", "ingestion"), message)
    assert not (project / "missing.tar.gz").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"id,body\n1,One.\n", r"t\.csv has no column 'text', only 'id', 'body'"),
        ("t.parquet", b"PAR1 it is not", r"t\.parquet is no parquet file"),
        ("t.docx", b"", r"has no texts, expected files that end in \.txt"),
    ],
)
def test_texts_of_one_s_own_that_can_t_be_read(
    name: str, content: bytes, message: str, project: Path, kedro_run: Run
) -> None:
    folder = project / "texts"
    folder.mkdir()
    (folder / name).write_bytes(content)

    arguments = ["--env", "own_text", "--pipelines", "ingestion"]  # the last environment counts
    assert_refused(kedro_run(*arguments, parameters={"texts": str(folder)}), message)


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ({"aclImdb/train/pos/90000_9.txt": b""}, "blank_text"),
        ({"aclImdb/train/pos/90000_9.txt": b" \n "}, "blank_text"),
        (
            {f"aclImdb/train/pos/90000_{stars}.txt": b"A review of %d stars." % stars for stars in (8, 9)},
            "duplicate_id",
        ),
    ],
    ids=["empty file", "blank review", "two files with one id"],
)
def test_a_bad_review_is_set_aside(
    added: dict[str, bytes], reason: str, project: Path, kedro_run: Run
) -> None:
    change_archive(project, added)

    result = kedro_run("--pipelines", "ingestion,validation")

    assert result.exit_code == 0, result.output
    rejected = pd.read_parquet(project / "data/test/03_primary/rejected_reviews.parquet")
    assert rejected[["review_id", "reason"]].to_numpy().tolist()[0] == ["train/pos/90000", reason]


@pytest.mark.parametrize(
    ("added", "keep", "message"),
    [
        (
            {},
            lambda name: False,
            "There is no review in the archive: expected files such as aclImdb/train/pos",
        ),
        (
            {"aclImdb/train/pos/90000_9.txt": b"A\xff"},
            lambda name: True,
            r"90000_9\.txt is not UTF-8: byte 0xff",
        ),
        ({}, lambda name: "/pos/" not in name, r"labels_are_balanced"),
        ({}, lambda name: name.endswith("00_9.txt"), r"reviews_are_enough.*at least 1,000 reviews"),
    ],
    ids=["no review", "not UTF-8", "no folder pos", "few reviews"],
)
def test_an_archive_that_can_t_be_used(
    added: dict[str, bytes], keep: Callable[[str], bool], message: str, project: Path, kedro_run: Run
) -> None:
    change_archive(project, added, keep)

    assert_refused(kedro_run("--pipelines", "ingestion,validation"), message)


def test_files_with_strange_names_are_counted_and_written_nowhere(
    project: Path, kedro_run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    names = [
        "../outside.txt",
        "/tmp/outside.txt",
        "aclImdb/train/pos/abc.txt",
        "aclImdb/train/pos/../../../../x.txt",
    ]
    change_archive(project, dict.fromkeys(names, b"A review that is none."))

    assert kedro_run("--pipelines", "ingestion").exit_code == 0
    assert any("4 files of the archive are no reviews" in message for message in caplog.messages)
    assert not list(project.parent.rglob("outside.txt"))
    assert not list(project.parent.rglob("x.txt"))


@pytest.mark.parametrize(
    ("pipeline", "parameters", "message"),
    [
        (
            "training",
            {"model.num_heads": "3"},
            "embed_dim=16 is not divisible by num_heads=3: change one of them",
        ),
        (
            "training",
            {"model.nope": "3"},
            "model.nope is no parameter: see conf/base/parameters_training.yml",
        ),
        ("training", {"model.sequence_length": "0"}, "model.sequence_length=0: Input should be greater than"),
        (
            "training",
            {"training.optimizer.learning_rate": "-1"},
            "learning_rate=-1: Input should be greater than 0",
        ),
        ("training", {"device": "gpu"}, "device='gpu', but TensorFlow sees no GPU, only .*CPU:0"),
        (
            "training",
            {"device": "tpu"},
            "`compute` is wrong: device='tpu': Input should be 'auto', 'cpu' or 'gpu' .conf/",
        ),
        (
            "training",
            {"precision": "mixed_float16"},
            "precision='mixed_float16' is for GPUs, and training would run on the CPU: take mixed_bfloat16",
        ),
        (
            "training",
            {"precision": "float16"},
            "`compute` is wrong: precision='float16': Input should be 'float32', 'mixed_bfloat16' or 'mixed_float16'",
        ),
        (
            "training",
            {"generation.sampling.temperature": "-1"},
            "temperature=-1: Input should be greater than",
        ),
        (
            "vectorization",
            {"vectorization.min_words": "100000000"},
            "words between them, expected at least 100000000",
        ),
        (
            "generation",
            {},
            "trained_model: There is no .*: `kedro run --pipelines training --env test` makes it",
        ),
        (
            "evaluation",
            {},
            "trained_model: There is no .*: `kedro run --pipelines training --env test` makes it",
        ),
    ],
    ids=lambda value: " ".join(f"{a}={b}" for a, b in value.items()) if isinstance(value, dict) else "",
)
def test_settings_that_can_t_be(
    pipeline: str, parameters: dict[str, str], message: str, kedro_run: Run
) -> None:
    assert_refused(kedro_run("--pipelines", pipeline, parameters=parameters), message)


def test_training_before_vectorization(project: Path, kedro_run: Run) -> None:
    shutil.rmtree(project / "data/test/05_model_input")

    assert_refused(
        kedro_run("--pipelines", "training"),
        "train_token_ids: There is no .*: `kedro run --pipelines vectorization --env test` makes it",
    )


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("[]", "generation.prompts=.*: List should have at least 1 item"),
        ("[' ']", r"prompts\[0\]=' ' is blank: a text needs a word to start from"),
        ("[the film, xyzzy plugh]", "None of the words of the prompt 'xyzzy plugh' is one of the .* tokens"),
    ],
)
def test_prompts_that_can_t_be_continued(prompts: str, message: str, project: Path, kedro_run: Run) -> None:
    (project / "conf/test/parameters_prompts.yml").write_text(f"generation: {{prompts: {prompts}}}\n")

    assert_refused(kedro_run("--pipelines", "training"), message)


@pytest.mark.full
def test_a_temperature_of_zero_takes_the_most_probable_word(project: Path, kedro_run: Run) -> None:
    assert kedro_run("--pipelines", "training,evaluation").exit_code == 0
    result = kedro_run("--pipelines", "generation", parameters={"generation.sampling.temperature": "0"})

    assert result.exit_code == 0, result.output
    samples = pd.read_parquet(project / "data/test/07_model_output/generated_samples.parquet")
    assert samples.groupby("prompt")["text"].nunique().tolist() == [1] * samples["prompt"].nunique()


@pytest.mark.parametrize("pipeline", [pytest.param("evaluation", marks=pytest.mark.full), "generation"])
def test_token_ids_of_another_vocabulary_than_the_model_s(pipeline: str, kedro_run: Run) -> None:
    assert kedro_run("--pipelines", "training,evaluation").exit_code == 0
    other = {"vectorization.vocabulary_size": "100"}
    assert kedro_run("--pipelines", "vectorization", parameters=other).exit_code == 0

    assert_refused(
        kedro_run("--pipelines", pipeline),
        r"The token ids are of tokenizer \w+, and not of \w+ .*: make them again",
    )


def test_a_store_that_does_not_answer(kedro_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    assert_refused(
        kedro_run("--pipelines", "ingestion"),
        "The MLflow store http://127.0.0.1:9 can't be used .*: start its server",
    )


@pytest.mark.full
def test_a_review_of_100_mb_is_set_aside(project: Path, kedro_run: Run) -> None:
    catalog = project / "conf/test/catalog_ingestion.yml"
    catalog.write_text(catalog.read_text().replace("max_megabytes: 100 ", "max_megabytes: 200 "))
    change_archive(project, {"aclImdb/train/pos/90000_9.txt": b"A long review. " * 7_000_000})

    result = kedro_run("--pipelines", "ingestion,validation")

    assert result.exit_code == 0, result.output
    rejected = pd.read_parquet(project / "data/test/03_primary/rejected_reviews.parquet")
    assert rejected[["review_id", "reason"]].to_numpy().tolist() == [["train/pos/90000", "too_long"]]
    pages = sum(
        path.stat().st_size for path in (project / "data/test/08_reporting").rglob("*") if path.is_file()
    )
    assert pages < 10e6  # what is said of the review is not the review


def test_a_vocabulary_larger_than_the_corpus_is_as_large_as_the_corpus(
    project: Path, kedro_run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    result = kedro_run(
        "--pipelines", "vectorization", parameters={"vectorization.vocabulary_size": "1000000"}
    )

    assert result.exit_code == 0, result.output
    tokenizer = json.loads((project / "data/test/04_feature/tokenizer.json").read_text())
    assert 1000 < len(tokenizer["words"]) < 5000
    assert any(
        message.startswith(f"{len(tokenizer['words']):,} tokens of at most vocabulary_size=1,000,000, from ")
        for message in caplog.messages
    )


def test_a_store_of_a_newer_mlflow(project: Path, kedro_run: Run) -> None:
    with sqlite3.connect(project / "mlflow.db") as store:
        store.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")

    assert_refused(
        kedro_run("--pipelines", "ingestion"),
        r"mlflow\.db can't be used .*: another version of MLflow than 3",
    )


def test_a_full_disk_leaves_the_old_file(
    project: Path, kedro_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = (project / "data/test/02_intermediate/raw_reviews.parquet").read_bytes()
    monkeypatch.setattr(pq, "write_table", fill)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", fill)
    monkeypatch.setattr(pq.ParquetWriter, "write_batch", fill)

    assert_refused(
        kedro_run("--pipelines", "ingestion"),
        "The disk is full, and raw_reviews was not saved; what was there before is whole: make room",
    )
    assert (project / "data/test/02_intermediate/raw_reviews.parquet").read_bytes() == before
