from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from minigpt_pipeline.model.adaptive_softmax import AdaptiveSoftmax
from minigpt_pipeline.model.generation import Writer, generate_texts, make_sample_rows, write_samples
from minigpt_pipeline.model.generation_loop import GROUP_SIZES, compile_loop, list_cache_lengths
from minigpt_pipeline.model.mini_gpt import MiniGPT, create_model
from minigpt_pipeline.model.sampling import Choice, draw_words
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import GenerationParameters, ModelParameters, SamplingParameters
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.subword_tokenizer import NUM_BYTES, train_subword_tokenizer
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID, Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.model.conftest import OPTIONS, SIZES
from tests.model.drawing import draw_by_definition, make_drawable


def sampling(**settings: Any) -> SamplingParameters:
    return SamplingParameters(
        **{"temperature": 1.0, "top_k": 10, "top_p": None, "max_new_tokens": 12, "stop_token": None}
        | settings
    )


FLOAT, INT = tf.TensorSpec(()), tf.TensorSpec((), tf.int32)
CHOICE_SPEC = Choice(FLOAT, INT, FLOAT, FLOAT, FLOAT, INT)


def generate(model: MiniGPT, *arguments: Any, **named: Any) -> list[list[int]]:
    return Writer(model).generate(*arguments, **named)


def write_uncached(model: MiniGPT) -> Callable[..., list[int]]:
    """The whole model on the whole context for each word, always anew."""

    @tf.function(input_signature=[tf.TensorSpec((1, None), tf.int32), tf.TensorSpec((1,)), CHOICE_SPEC])
    def draw_next(context: Any, number: Any, choice: Choice) -> Any:
        return draw_words(make_drawable(model(context)[:, -1]), number, choice)

    def write(prompt: list[int], sampling: SamplingParameters, seed: int = 0) -> list[int]:
        context, text = prompt[-model.sequence_length :], []
        for number in np.random.default_rng(seed).random(sampling.max_new_tokens, dtype="float32"):
            text.append(int(draw_next([context], [number], Choice.from_parameters(sampling))[0]))
            context = [*context, text[-1]]
            if len(context) > model.sequence_length:
                context = context[-(model.sequence_length // 2) :]
        return text

    return write


@pytest.fixture
def make_opinionated(make_model: Callable[..., MiniGPT]) -> Callable[..., MiniGPT]:
    """Fresh weights expect nearly the same of any text; these don't."""

    def make(**sizes: Any) -> MiniGPT:
        model = make_model(**sizes)
        rng = np.random.default_rng(11)
        for matrix in (weight for weight in model.weights if len(weight.shape) == 2):
            matrix.assign(rng.normal(size=matrix.shape))
        return model

    return make


@pytest.fixture
def opinionated(make_opinionated: Callable[..., MiniGPT]) -> MiniGPT:
    return make_opinionated()


PROMPTS = [[5], [2, 3, 4], [9, 8, 7, 6, 5, 4, 3], [7, 2, 9, 4, 4, 3, 2, 5], list(range(2, 22))]


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        pytest.param({"num_blocks": 3}, marks=pytest.mark.full),
        pytest.param({"num_heads": 1}, marks=pytest.mark.full),
        {"num_heads": 4, "head_dim": 5},
        {"num_heads": 1, "head_dim": 16, "num_blocks": 2},
        {"sequence_length": 2},
        pytest.param({"sequence_length": 3}, marks=pytest.mark.full),
        {"sequence_length": 80},
        pytest.param(OPTIONS, marks=pytest.mark.full),
        {**OPTIONS, "sequence_length": 3},
    ],
)
def test_generate_writes_what_the_uncached_model_writes(
    make_opinionated: Callable[..., MiniGPT], sizes: dict[str, Any]
) -> None:
    """Up to the context length and past it, from prompts of any length, in one group."""
    model = make_opinionated(**sizes)
    write = write_uncached(model)

    for settings in ({"temperature": 0.0}, {"top_k": None}, {"top_p": 0.9}):
        how = sampling(**settings, max_new_tokens=25)
        texts = generate(model, PROMPTS, how, None, seeds=range(5))

        assert texts == [write(prompt, how, seed) for seed, prompt in enumerate(PROMPTS)]


@pytest.mark.parametrize("max_new_tokens", [1, 7, 30])
def test_generate_writes_exactly_max_new_tokens(model: MiniGPT, max_new_tokens: int) -> None:
    texts = generate(model, [[2], [3, 4]] * 5, sampling(max_new_tokens=max_new_tokens), None, seeds=range(10))

    assert [len(text) for text in texts] == [max_new_tokens] * 10
    assert min(min(text) for text in texts) >= 2


def test_generate_writes_nothing_where_nothing_is_asked(model: MiniGPT) -> None:
    assert generate(model, [], sampling(), None, seeds=[]) == []


def test_generate_reads_the_newest_words_of_a_long_prompt(opinionated: MiniGPT) -> None:
    newest = [9, 8, 7, 6, 5, 4, 3, 2]

    long, short, other = generate(
        opinionated, [[20, 21, 22, *newest], newest, [*newest, 20, 21, 22]], sampling(), None, seeds=[4, 4, 4]
    )

    assert long == short != other


def test_generate_stops_after_the_stop_word_and_keeps_it(opinionated: MiniGPT) -> None:
    whole = generate(opinionated, PROMPTS, sampling(), None, seeds=range(5))
    stop_id = whole[1][-4]

    stopped = generate(opinionated, PROMPTS, sampling(), stop_id, seeds=range(5))

    for text, stopped_text in zip(whole, stopped, strict=True):
        end = text.index(stop_id) + 1 if stop_id in text else len(text)
        assert stopped_text == text[:end]
    assert len({len(text) for text in stopped}) > 2


@pytest.mark.timeout(120)  # a million words take many minutes
def test_generate_ends_when_all_texts_have_stopped(opinionated: MiniGPT) -> None:
    (word,) = generate(opinionated, [[2]], sampling(temperature=0.0, max_new_tokens=1), None, seeds=[0])[0]

    texts = generate(
        opinionated, [[2]] * 3, sampling(temperature=0.0, max_new_tokens=1_000_000), word, seeds=[0, 1, 2]
    )

    assert texts == [[word]] * 3


COMPANIONS = [[2, 3], [9, 9, 4, 4, 5, 5, 6, 6], [3] * 30, [4, 8, 2, 2, 2]]


@pytest.mark.parametrize(
    "num_before", [0, 1, 7, 61, *(pytest.param(number, marks=pytest.mark.full) for number in (5, 8, 13, 25))]
)
@pytest.mark.parametrize("stop_id", [None, 12])
@pytest.mark.parametrize("settings", [{"top_k": None, "temperature": 3.0}, {"top_p": 0.9}])
def test_generate_writes_the_same_text_whatever_else_is_written(
    opinionated: MiniGPT, num_before: int, stop_id: int | None, settings: dict[str, Any]
) -> None:
    """Neighbours that read longer prompts, begin again at other moments and stop early change nothing."""
    how = sampling(**settings, max_new_tokens=40)
    alone = generate(opinionated, [[7, 5, 3]], how, stop_id, seeds=[7])
    before = (COMPANIONS * 16)[:num_before]

    among = generate(
        opinionated,
        [*before, [7, 5, 3], *COMPANIONS],
        how,
        stop_id,
        seeds=[*range(num_before), 7, 1, 2, 3, 4],
    )

    assert among[num_before] == alone[0]


def write_by_definition(model: MiniGPT, may_end: bool = False) -> Callable[..., list[int]]:
    """In NumPy, all anew for each word, from the logits of the uncached model and the whole text."""

    @tf.function(input_signature=[tf.TensorSpec((1, None), tf.int32)])
    def find_logits(context: Any) -> Any:
        return model(context)[0, -1]

    def write(prompt: list[int], sampling: SamplingParameters, seed: int) -> list[int]:
        read = [PADDING_ID, *prompt] if may_end else prompt  # the end of the review before
        context, text = read[-model.sequence_length :], list(prompt)
        for number in np.random.default_rng(seed).random(sampling.max_new_tokens, dtype="float32"):
            values = np.array(find_logits([context]), dtype="float64")
            logits = dict(enumerate(values.tolist()))
            del logits[UNKNOWN_ID]
            if not may_end:
                del logits[PADDING_ID]
            if isinstance(model.output_layer, AdaptiveSoftmax):  # its logits are logarithms of probabilities
                total = np.log(np.sum(np.exp([*logits.values()])))
                logits = {word: logit - total for word, logit in logits.items()}
            word = draw_by_definition(logits, text, float(number), sampling)
            if word == PADDING_ID:
                break
            text.append(word)
            context = [*context, word]
            if len(context) > model.sequence_length:
                context = context[-(model.sequence_length // 2) :]
        return text[len(prompt) :]

    return write


ADAPTIVE = {"output_layer": "adaptive", "num_frequent_words": 12, "rare_word_dim": 4}
AGAINST_REPETITION = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "min_p": 0.01}


@pytest.mark.parametrize("sizes", [{}, ADAPTIVE])
@pytest.mark.parametrize("may_end", [False, True])
def test_generate_writes_what_the_definitions_say(
    make_opinionated: Callable[..., MiniGPT], sizes: dict[str, Any], may_end: bool
) -> None:
    """Of what repeats in the whole text: of prompts and texts longer than the context, too."""
    model = make_opinionated(sequence_length=6, **sizes)
    write, writer = write_by_definition(model, may_end), Writer(model, may_end)

    for settings in (
        {"temperature": 3.0, "top_k": None},
        {"temperature": 0.0, "no_repeat_ngram_size": 3},
        {"temperature": 2.0, "top_k": 5, "top_p": 0.9, "repetition_penalty": 1.1},
        {"temperature": 4.0, "top_k": None, "top_p": 0.8, "no_repeat_ngram_size": 1},
    ):
        how = sampling(
            **AGAINST_REPETITION | {"max_new_tokens": 30, "stop_at_end_of_review": may_end} | settings
        )
        texts = writer.generate(PROMPTS, how, None, seeds=range(5))

        assert texts == [write(prompt, how, seed) for seed, prompt in enumerate(PROMPTS)]


@pytest.mark.parametrize("sizes", [{}, ADAPTIVE])
def test_generate_writes_the_same_text_against_repetition_whatever_else_is_written(
    make_opinionated: Callable[..., MiniGPT], sizes: dict[str, Any]
) -> None:
    """In groups of 1, 8 and 64, beside longer prompts, and texts that end early."""
    model = make_opinionated(**sizes)
    writer = Writer(model, has_learnt_ends=True)
    how = sampling(
        **AGAINST_REPETITION, temperature=3.0, top_k=None, max_new_tokens=40, stop_at_end_of_review=True
    )
    alone = writer.generate([[7, 5, 3]], how, 12, seeds=[3])

    for num_before in (5, 61):
        texts = writer.generate(
            [*(COMPANIONS * 16)[:num_before], [7, 5, 3], *COMPANIONS],
            how,
            12,
            seeds=[*range(num_before), 3, 1, 2, 3, 4],
        )
        assert texts[num_before] == alone[0]
        assert len({len(text) for text in texts}) > 3


def test_generate_tells_of_each_text_once(model: MiniGPT) -> None:
    told: list[float] = []

    Writer(model).generate([[2]] * 70, sampling(max_new_tokens=2), None, range(70), told.append)

    assert told == [64, 6]


def test_generate_repeats_no_ngram_until_every_word_would(model: MiniGPT) -> None:
    """Each of 26 letters once; the prompt has two of them."""
    how = sampling(no_repeat_ngram_size=1, top_k=3, max_new_tokens=40)

    texts = generate(model, [[5, 9]] * 3, how, None, seeds=range(3))

    for text in texts:
        assert sorted([5, 9, *text]) == list(range(2, 28))


@pytest.fixture
def make_ending(make_model: Callable[..., MiniGPT]) -> Callable[[float], MiniGPT]:
    """A model that ends a text with this probability, and else writes a, b or c."""

    def make(share: float) -> MiniGPT:
        model = make_model(vocabulary_size=5)
        model.output_layer.kernel.assign(np.zeros_like(model.output_layer.kernel))
        odds = [share, 5.0, *[(1 - share) / 3] * 3]  # [UNK] is what it would like best
        model.output_layer.bias.assign(np.log(odds))
        return model

    return make


def test_generate_ends_texts_where_the_model_ends_them(make_ending: Callable[[float], MiniGPT]) -> None:
    """Of 4,000 texts the shares that have 0 to 5 words, within 4.5 standard errors of (1 - p)^n p."""
    writer = Writer(make_ending(0.3), has_learnt_ends=True)
    how = sampling(top_k=None, max_new_tokens=25, stop_at_end_of_review=True)

    texts = writer.generate([[2, 3]] * 4000, how, None, seeds=range(4000))

    assert {word for text in texts for word in text} == {2, 3, 4}
    shares = np.bincount([len(text) for text in texts], minlength=6)[:6] / 4000
    exact = 0.7 ** np.arange(6) * 0.3
    assert (np.abs(shares - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / 4000)).all()


def test_generate_ends_at_the_end_of_a_review_or_at_the_stop_word(
    make_ending: Callable[[float], MiniGPT],
) -> None:
    writer = Writer(make_ending(0.3), has_learnt_ends=True)
    how = sampling(top_k=None, max_new_tokens=25, stop_at_end_of_review=True)

    whole = writer.generate([[2]] * 40, how, None, seeds=range(40))
    stopped = writer.generate([[2]] * 40, how, 4, seeds=range(40))

    for text, stopped_text in zip(whole, stopped, strict=True):
        assert stopped_text == (text[: text.index(4) + 1] if 4 in text else text)
    assert {text[-1] for text in stopped if text} == {2, 3, 4}


def test_generate_begins_with_an_end_where_the_model_has_learnt_it(model: MiniGPT) -> None:
    how = sampling(stop_at_end_of_review=False)

    texts = Writer(model, has_learnt_ends=True).generate([[5, 9]] * 5, how, None, seeds=range(5))

    assert texts == Writer(model).generate([[0, 5, 9]] * 5, how, None, seeds=range(5))
    assert texts != Writer(model).generate([[5, 9]] * 5, how, None, seeds=range(5))


@pytest.mark.parametrize(
    ("stop_at_end_of_review", "has_learnt_ends", "ends"),
    [
        (None, True, True),
        (True, True, True),
        (False, True, False),
        (None, False, False),
        (False, False, False),
    ],
)
def test_generate_ends_where_it_shall_and_the_model_has_learnt_it(
    make_ending: Callable[[float], MiniGPT],
    stop_at_end_of_review: bool | None,
    has_learnt_ends: bool,
    ends: bool,
) -> None:
    writer = Writer(make_ending(0.999), has_learnt_ends)
    how = sampling(stop_at_end_of_review=stop_at_end_of_review, temperature=0.0, max_new_tokens=3)

    assert writer.generate([[3]], how, None, seeds=[0]) == [[] if ends else [2, 2, 2]]


def test_generate_refuses_to_stop_at_ends_that_the_model_has_not_learnt(model: MiniGPT) -> None:
    with pytest.raises(ValueError, match=r"stop_at_end_of_review=true .* training.sequences=packed"):
        generate(model, [[2]], sampling(stop_at_end_of_review=True), None, seeds=[0])


def test_generate_gives_another_text_for_another_seed(model: MiniGPT) -> None:
    first, again, other = generate(model, [[2, 3]] * 3, sampling(), None, seeds=[7, 7, 8])

    assert first == again != other


def test_generate_writes_the_beginning_of_a_longer_text(opinionated: MiniGPT) -> None:
    short, long = (
        generate(opinionated, [[2, 3]], sampling(max_new_tokens=count), None, seeds=[7])[0]
        for count in (6, 30)
    )

    assert short == long[:6]


def test_generate_follows_the_probabilities_of_the_model_over_many_seeds(
    make_model: Callable[..., MiniGPT],
) -> None:
    """Within 4.5 standard errors, which chance leaves once in 150,000 shares."""
    model = make_model(vocabulary_size=7)
    model.output_layer.bias.assign([3.0, 3.0, 0.0, 1.0, -1.0, 0.5, 0.2])
    exact = np.exp(np.array(model(np.array([[4, 2]])))[0, -1, 2:].astype("float64"))
    exact /= exact.sum()

    texts = generate(model, [[4, 2]] * 4000, sampling(top_k=None, max_new_tokens=1), None, seeds=range(4000))

    shares = np.bincount(np.ravel(texts), minlength=7)[2:] / 4000
    assert (np.abs(shares - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / 4000)).all()


def test_generate_compiles_once(model: MiniGPT) -> None:
    for prompts in ([[2]], [[2, 3, 4]] * 9, [list(range(2, 20))] * 3, [[2]] * 70):
        for settings in (
            {"temperature": 0.0},
            {"top_k": 3, "repetition_penalty": 1.5},
            {"top_k": None, "top_p": 0.5, "max_new_tokens": 5},
        ):
            generate(model, prompts, sampling(**settings), None, seeds=[len(prompts)] * len(prompts))

    rooms = {rows: list_cache_lengths(model.sequence_length, rows)[-1] for rows in GROUP_SIZES}
    traced = [compile_loop(model, *group).experimental_get_tracing_count() for group in rooms.items()]
    assert traced == [1] * len(GROUP_SIZES)


def test_generate_reads_the_weights_as_they_are(opinionated: MiniGPT) -> None:
    how = sampling(temperature=0.0, max_new_tokens=20)
    before = generate(opinionated, [[2, 3]], how, None, seeds=[0])

    for weight in opinionated.weights:
        weight.assign(-weight)

    after = generate(opinionated, [[2, 3]], how, None, seeds=[0])
    assert after != before
    assert after == [write_uncached(opinionated)([2, 3], how)]


@pytest.mark.parametrize(
    ("prompts", "seeds", "message"),
    [([[2], []], [0, 0], r"prompts\[1\] is empty"), ([[2], [3]], [0], "2 prompts and 1 seeds")],
)
def test_generate_refuses(model: MiniGPT, prompts: list[list[int]], seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(model, prompts, sampling(), None, seeds)


@pytest.fixture
def writer(model: MiniGPT) -> Writer:
    return Writer(model)


@pytest.fixture
def trained_model(model: MiniGPT, letters: WordTokenizer) -> TrainedModel:
    return TrainedModel.from_model(model, letters, {"epochs": 3})


def test_generate_texts_begin_with_the_prompt_as_it_was_given(writer: Writer, letters: WordTokenizer) -> None:
    prompts = ["A b", "never-seen c"]

    texts = generate_texts(writer, letters, prompts, sampling(max_new_tokens=4), seeds=[0, 1])

    for prompt, (text, ended, readable_text) in zip(prompts, texts, strict=True):
        assert not ended
        assert to_words(readable_text) == to_words(text)
        assert text.startswith(prompt + " ")
        assert all(len(word) == 1 for word in text.removeprefix(prompt).split())
        assert len(text.removeprefix(prompt).split()) == 4


@pytest.mark.parametrize("kind", ["word", "subword"])
def test_generate_texts_writes_names_as_people_do(
    model: MiniGPT, make_model: Callable[..., MiniGPT], letters: WordTokenizer, kind: str
) -> None:
    """Also names that are no tokens."""
    forms = ("Hanks", "TOM")
    tokenizer: Tokenizer = replace(letters, forms=forms)
    if kind == "subword":
        counts = pa.table({"word": ["the"], "count": [9]})
        tokenizer = train_subword_tokenizer(counts, 1 + NUM_BYTES, forms)
        model = make_model(vocabulary_size=len(tokenizer))

    ((text, _, readable_text),) = generate_texts(
        Writer(model), tokenizer, ["ah, Tom hanks' a"], sampling(), seeds=[0]
    )

    assert text.startswith("ah, Tom hanks' a")
    assert readable_text.startswith("Ah, TOM Hanks'")


def test_generate_texts_reads_words_that_it_does_not_know_as_unknown(
    writer: Writer, model: MiniGPT, letters: WordTokenizer
) -> None:
    ((text, _, readable_text),) = generate_texts(
        writer, letters, ["Zebra a"], sampling(temperature=0.0), seeds=[0]
    )

    assert readable_text.startswith("Zebra a ")
    written = write_uncached(model)([1, 2], sampling(temperature=0.0))
    assert text.split()[2:] == letters.decode(written).split()


def test_generate_texts_refuses_a_prompt_without_a_word(writer: Writer, letters: WordTokenizer) -> None:
    with pytest.raises(ValueError, match="'<br />' has no word"):
        generate_texts(writer, letters, ["a", "<br />"], sampling(), seeds=[0, 0])


def test_generate_texts_refuses_a_prompt_of_unknown_words(writer: Writer, letters: WordTokenizer) -> None:
    with pytest.raises(
        ValueError, match="None of the words of the prompt 'Zebra yak' is one of the 28 tokens"
    ):
        generate_texts(writer, letters, ["a", "Zebra yak"], sampling(), seeds=[0, 0])


def test_generate_texts_says_what_has_ended_by_itself(
    make_ending: Callable[[float], MiniGPT],
) -> None:
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", "a", "b", "c")))
    writer = Writer(make_ending(0.3), has_learnt_ends=True)
    how = sampling(max_new_tokens=4, stop_token="b", stop_at_end_of_review=True)

    texts = generate_texts(writer, tokenizer, ["c"] * 200, how, seeds=range(200))

    for text, ended, _ in texts:
        words = text.split()[1:]
        assert ended == (len(words) < 4 or words[-1] == "b")
    assert ("c", True, "C") in texts
    assert {(len(text.split()), ended) for text, ended, _ in texts} >= {(5, True), (5, False), (3, True)}


def test_generate_texts_refuses_a_stop_token_that_is_no_word(writer: Writer, letters: WordTokenizer) -> None:
    with pytest.raises(ValueError, match="stop_token='fin' is no word that is one of the 28 tokens"):
        generate_texts(writer, letters, ["a"], sampling(stop_token="fin"), seeds=[0])


@pytest.mark.parametrize(
    "sizes", [{}, {"output_layer": "adaptive", "num_frequent_words": 100, "rare_word_dim": 4}]
)
def test_generate_texts_writes_parts_of_words(sizes: dict[str, Any]) -> None:
    """Id 1 is a token as any other, and what the tokens spell goes on with the prompt."""
    counts = pa.table({"word": ["the", "film"], "count": [9, 5]})
    tokenizer = train_subword_tokenizer(counts, size=1 + NUM_BYTES + 4)
    model = create_model(ModelParameters(**SIZES | sizes), len(tokenizer), tokenizer.unknown_id)
    how = sampling(max_new_tokens=40, top_k=None)
    prompt_ids = tokenizer.encode("The films")

    texts = generate_texts(Writer(model), tokenizer, ["The films"] * 64, how, seeds=range(64))

    written = Writer(model).generate([prompt_ids] * 64, how, None, seeds=range(64))
    assert [text for text, _, _ in texts] == [tokenizer.write_on("The films", text) for text in written]
    assert {0, 1} & set(np.ravel(written)) == {1}
    assert np.max(written) > 100


def test_generate_texts_stops_at_a_word_of_one_token(make_ending: Callable[[float], MiniGPT]) -> None:
    tokenizer = train_subword_tokenizer(pa.table({"word": ["."], "count": [9]}), size=1 + NUM_BYTES + 1)

    with pytest.raises(ValueError, match="stop_token='the' is no word that is one of the 258 tokens"):
        generate_texts(Writer(make_ending(0.3)), tokenizer, ["a"], sampling(stop_token="the"), seeds=[0])
    assert tokenizer.find(".") == 1


def test_write_samples_has_a_row_for_each_prompt_and_seed(trained_model: TrainedModel) -> None:
    generation = GenerationParameters(
        prompts=["a b", "c"], seeds=[8, 9, 10], sampling=sampling(max_new_tokens=3, repetition_penalty=1.5)
    )

    rows = write_samples(trained_model, generation)

    assert [(row["prompt"], row["sample"], row["seed"]) for row in rows] == [
        (prompt, sample, 8 + sample) for prompt in ("a b", "c") for sample in range(3)
    ]
    assert {
        key: value for key, value in rows[0].items() if key not in {"prompt", "text", "readable_text"}
    } == {
        "epoch": 3,
        "sample": 0,
        "ended": False,
        "temperature": 1.0,
        "top_k": 10,
        "top_p": None,
        "min_p": None,
        "repetition_penalty": 1.5,
        "no_repeat_ngram_size": None,
        "seed": 8,
    }
    assert all(len(row["text"].split()) == len(row["prompt"].split()) + 3 for row in rows)


def test_make_sample_rows_writes_the_same_again(
    make_model: Callable[..., MiniGPT], letters: WordTokenizer
) -> None:
    generation = GenerationParameters(prompts=["a b"], seeds=[8, 9], sampling=sampling())

    first, again = (make_sample_rows(Writer(make_model()), letters, generation, epoch=1) for _ in range(2))

    assert first == again
