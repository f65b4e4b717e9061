from minigpt_pipeline.parameters import SplitParameters, VectorizationParameters
from minigpt_pipeline.tracking.flat_parameters import flatten_parameters

VECTORIZATION = VectorizationParameters(
    vocabulary_size=50, min_words=2, split=SplitParameters(train=0.5, validation=0.25, test=0.25)
)


def test_flatten_parameters_gives_one_entry_a_field() -> None:
    assert flatten_parameters("vectorization", VECTORIZATION) == {
        "vectorization.tokenizer": "word",
        "vectorization.vocabulary_size": "50",
        "vectorization.min_words": "2",
        "vectorization.split.train": "0.5",
        "vectorization.split.validation": "0.25",
        "vectorization.split.test": "0.25",
    }


def test_flatten_parameters_writes_what_yaml_knows() -> None:
    values = {"prompts": ["a", "b"], "stop_token": None, "include": False, "device": "cpu"}

    assert flatten_parameters("x", values) == {
        "x.prompts": '["a", "b"]',
        "x.stop_token": "null",
        "x.include": "false",
        "x.device": "cpu",
    }


def test_flatten_parameters_keeps_within_what_mlflow_takes() -> None:
    assert len(flatten_parameters("prompts", ["word"] * 5000)["prompts"]) == 6000
