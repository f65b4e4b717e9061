"""A model writes: one token after another, each drawn from what the model expects next."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from minigpt_pipeline.model.generation_loop import ENOUGH_FOR_MANY, NO_WORD, USUAL_ROWS, choose_rows
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.sampling import Choice
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.model.slots import Slots, WrittenText
from minigpt_pipeline.parameters import SHOWN_SETTINGS, GenerationParameters, SamplingParameters
from minigpt_pipeline.progress import Advance, tell_nobody
from minigpt_pipeline.text.detokenization import to_readable_text
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import PADDING_ID

AS_MANY_AS_NEEDED = 2**30
"""Turns of the loop."""


class Continuation(NamedTuple):
    """What a model writes behind a prompt.

    Args:
        word_ids: The new words.
        ended: Whether it ended by itself, and not because it had `max_new_tokens`: by the stop token, by the end of the
            review, or as every word would have repeated an n-gram.
    """

    word_ids: list[int]
    ended: bool


class Text(NamedTuple):
    """What was written.

    Args:
        text: The prompt as it was given, and the new tokens after it.
        ended: As of a `Continuation`.
        readable_text: Prompt and new words as people write them: see `to_readable_text`.
    """

    text: str
    ended: bool
    readable_text: str


class Writer:
    """A model whose weights don't change any more, ready to write; getting ready takes as long as a few words.

    Args:
        model: The model, in float32.
        has_learnt_ends: Whether it was trained to say where reviews end.
    """

    def __init__(self, model: MiniGPT, has_learnt_ends: bool = False) -> None:
        self._model = model
        self._has_learnt_ends = has_learnt_ends
        self._output_weights = {
            may_end: model.arrange_output_layer(may_end) for may_end in {False, has_learnt_ends}
        }

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingParameters,
        stop_id: int | None,
        seeds: Sequence[int],
        advance: Advance = tell_nobody,
    ) -> list[list[int]]:
        """Continue each prompt. A text depends on its own prompt and seed alone.

        When the context is full, the newest `sequence_length // 2` words are read again, and the text goes on from
        there.

        Args:
            prompts: Word ids of each prompt, one at least. Of a prompt longer than the context the newest words are
                read.
            sampling: How words are chosen, and how many.
            stop_id: A text ends early after this word; null means never.
            seeds: One for each prompt.
            advance: Told of the texts that are written.

        Returns:
            The ids of the new words of each text: exactly `max_new_tokens`, fewer only where it ended by itself. The
            last is `stop_id` where that has ended it; an end of review is not among them.

        Raises:
            ValueError: If a prompt is empty, there is not one seed for each prompt, or texts shall stop at ends that
                the model has not learnt.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds: each prompt needs one seed")
        for number, prompt in enumerate(prompts):
            if not len(prompt):
                raise ValueError(f"prompts[{number}] is empty: a text needs a word to start from")
        texts = [
            self.begin(prompt, sampling, stop_id, seed) for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        slots = self.make_slots()
        num_at_once = choose_rows(self._model, len(texts) if len(texts) >= ENOUGH_FOR_MANY else USUAL_ROWS)
        waiting = list(reversed(texts))
        while waiting or slots.texts:
            slots.add(waiting.pop() for _ in range(min(len(waiting), num_at_once - len(slots.texts))))
            told = slots.advance(AS_MANY_AS_NEEDED, tells_ends=bool(waiting), waits=True)
            advance(sum(text.has_ended for text in told))
        return [text.word_ids for text in texts]

    def begin(
        self, prompt: Sequence[int], sampling: SamplingParameters, stop_id: int | None, seed: int
    ) -> WrittenText:
        """Return a text of which only the prompt is there; see `generate`.

        Raises:
            ValueError: If it shall stop at ends that the model has not learnt.
        """
        return WrittenText(
            # Behind the end of the review before: so the model has seen every beginning.
            [PADDING_ID, *prompt] if self._has_learnt_ends else list(prompt),
            Choice.from_parameters(sampling),
            sampling.max_new_tokens,
            shall_stop_at_ends(sampling, self._has_learnt_ends),
            NO_WORD if stop_id is None else stop_id,
            seed,
        )

    def make_slots(self) -> Slots:
        """Return slots in which the model writes."""
        return Slots(self._model, self._output_weights)


def shall_stop_at_ends(sampling: SamplingParameters, has_learnt_ends: bool) -> bool:
    """Return whether a text ends where the model ends it.

    Args:
        sampling: Supplies `stop_at_end_of_review`.
        has_learnt_ends: Whether the model was trained to say where reviews end.

    Raises:
        ValueError: If it shall, and the model has not learnt it.
    """
    if sampling.stop_at_end_of_review and not has_learnt_ends:
        raise ValueError(
            "stop_at_end_of_review=true needs a model that has learnt where reviews end, which this one has not: train "
            "one with training.sequences=packed, or set it to null (where the model has learnt it) or false in "
            "conf/base/parameters_generation.yml"
        )
    return has_learnt_ends if sampling.stop_at_end_of_review is None else sampling.stop_at_end_of_review


def check_generation(tokenizer: Tokenizer, generation: GenerationParameters, has_learnt_ends: bool) -> None:
    """Refuse what can't be written before a training, and not after its first epoch.

    Args:
        tokenizer: Of the model.
        generation: Prompts, and how tokens are chosen.
        has_learnt_ends: Whether the model learns where reviews end.

    Raises:
        ValueError: If a prompt has no word, or none that the model knows, the stop token is no token that the model
            writes, or texts shall stop at ends that it has not learnt.
    """
    shall_stop_at_ends(generation.sampling, has_learnt_ends)
    _find_stop_id(tokenizer, generation.sampling.stop_token)
    _encode_prompts(tokenizer, generation.prompts)


def _encode_prompts(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    prompt_ids = [tokenizer.encode(prompt) for prompt in prompts]
    for prompt, token_ids in zip(prompts, prompt_ids, strict=True):
        if not token_ids:
            raise ValueError(f"The prompt {prompt!r} has no word in it: a text needs a word to start from")
        if all(token_id == tokenizer.unknown_id for token_id in token_ids):
            raise ValueError(
                f"None of the words of the prompt {prompt!r} is one of the {len(tokenizer)} tokens of the model, which "
                "was trained on texts that seldom have them: begin with others (`prompts` in "
                "conf/*/parameters_generation.yml), or train with vectorization.tokenizer=subword, which knows all"
            )
    return prompt_ids


def generate_texts(
    writer: Writer,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: SamplingParameters,
    seeds: Sequence[int],
) -> list[Text]:
    """Continue each prompt.

    Args:
        writer: Of the model.
        tokenizer: Of the model.
        prompts: Texts to continue; a word tokenizer reads words that it does not know as `[UNK]`.
        sampling: How tokens are chosen, and how many.
        seeds: One for each prompt.

    Returns:
        A text for each prompt.

    Raises:
        ValueError: If a prompt has no word, or none that the model knows, the stop token is no token of the model, or
            texts shall stop at ends that the model has not learnt.
    """
    prompt_ids = _encode_prompts(tokenizer, prompts)
    texts = []
    for prompt, (token_ids, ended) in zip(
        prompts, continue_texts(writer, tokenizer, prompt_ids, sampling, seeds), strict=True
    ):
        text = tokenizer.write_on(prompt, token_ids)
        texts.append(Text(text, ended, to_readable_text(to_words(text), tokenizer.casing)))
    return texts


def continue_texts(
    writer: Writer,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingParameters,
    seeds: Sequence[int],
    advance: Advance = tell_nobody,
) -> list[Continuation]:
    """Continue each prompt in token ids.

    Args:
        writer: Of the model.
        tokenizer: Of the model; the stop token is one of its tokens.
        prompts: Token ids of each, one at least.
        sampling: How tokens are chosen, and how many.
        seeds: One for each prompt.
        advance: Told of the texts that are written.

    Raises:
        ValueError: If a prompt is empty, the stop token is no token of the model, or texts shall stop at ends that the
            model has not learnt.
    """
    stop_id = _find_stop_id(tokenizer, sampling.stop_token)
    return [
        Continuation(token_ids, len(token_ids) < sampling.max_new_tokens or token_ids[-1] == stop_id)
        for token_ids in writer.generate(prompts, sampling, stop_id, seeds, advance)
    ]


def write_samples(trained_model: TrainedModel, generation: GenerationParameters) -> list[dict[str, Any]]:
    """Write one text for each configured prompt and seed; see `make_sample_rows`."""
    writer = Writer(trained_model.load_model(), trained_model.has_learnt_ends)
    return make_sample_rows(writer, trained_model.tokenizer, generation, epoch=trained_model.epochs)


def make_sample_rows(
    writer: Writer, tokenizer: Tokenizer, generation: GenerationParameters, epoch: int
) -> list[dict[str, Any]]:
    """Write one text for each configured prompt and seed.

    Args:
        writer: Of the model.
        tokenizer: Of the model.
        generation: Prompts, seeds, and how tokens are chosen.
        epoch: Epochs that the model was trained for.

    Returns:
        One row a text: `prompt` and `readable_text` (see `Text`), first, as MLflow's page compares runs by these two,
        `epoch`, `sample` (number of the text of this prompt, from 0), `text`, `ended`, `seed`, and of the sampling
        `temperature`, `top_k`, `top_p`, `min_p`, `repetition_penalty`, `no_repeat_ngram_size`.
    """
    sampling = generation.sampling
    asked = [
        (prompt, sample, seed)
        for prompt in generation.prompts
        for sample, seed in enumerate(generation.seeds)
    ]
    prompts, seeds = [prompt for prompt, _, _ in asked], [seed for _, _, seed in asked]
    texts = generate_texts(writer, tokenizer, prompts, sampling, seeds)
    return [
        {
            "prompt": prompt,
            "readable_text": text.readable_text,
            "epoch": epoch,
            "sample": sample,
            "text": text.text,
            "ended": text.ended,
            **sampling.model_dump(include=set(SHOWN_SETTINGS)),
            "seed": seed,
        }
        for (prompt, sample, seed), text in zip(asked, texts, strict=True)
    ]


def _find_stop_id(tokenizer: Tokenizer, stop_token: str | None) -> int | None:
    if stop_token is None:
        return None
    stop_id = tokenizer.find(stop_token)
    if stop_id is None or stop_id == tokenizer.unknown_id:
        raise ValueError(
            f"stop_token={stop_token!r} is no word that is one of the {len(tokenizer)} tokens of the model: "
            "change it, or set it to null, in conf/base/parameters_generation.yml"
        )
    return stop_id
