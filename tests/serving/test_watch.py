import json
import math
import threading
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from minigpt_pipeline.serving.watch import MAX_REASONS, Watch
from tests.served import make_text


def read(watch: Watch) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus reads, by name and labels."""
    content, content_type = watch.render()
    assert content_type.startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def test_texts_are_counted_with_their_tokens_and_times() -> None:
    watch = Watch()
    watch.answered(make_text())
    watch.answered(
        make_text(index=1, finish_reason="end", new_tokens=2, seq_rep_4=None, first_token=math.nan)
    )
    samples = read(watch)

    assert samples["minigpt_requests_total", (("code", "answered"), ("status", "200"))] == 1
    assert samples["minigpt_texts_total", (("finish_reason", "length"),)] == 1
    assert samples["minigpt_texts_total", (("finish_reason", "end"),)] == 1
    assert samples["minigpt_new_tokens_total", ()] == 42
    assert samples["minigpt_prompt_tokens_total", ()] == 8
    assert samples["minigpt_prompt_unknown_tokens_total", ()] == 2
    assert samples["minigpt_request_seconds_sum", ()] == 4.5
    assert samples["minigpt_queue_seconds_count", ()] == 2
    assert samples["minigpt_first_token_seconds_count", ()] == 1
    assert samples["minigpt_answer_repeated_4gram_share_sum", ()] == 0.1
    assert samples["minigpt_answer_distinct_2gram_share_count", ()] == 2


def test_a_request_that_was_left_is_told_from_one_that_was_answered() -> None:
    watch = Watch()
    watch.answered(make_text(finish_reason="cancelled", first_token=None))

    assert read(watch)["minigpt_requests_total", (("code", "cancelled"), ("status", "200"))] == 1


def test_a_request_that_failed_is_counted_where_it_is_refused() -> None:
    watch = Watch()
    watch.answered(make_text(finish_reason="failed"))
    watch.refused(500, "failed")
    samples = read(watch)

    counts = {labels: count for (name, labels), count in samples.items() if name == "minigpt_requests_total"}
    assert counts == {(("code", "failed"), ("status", "500")): 1}
    assert samples["minigpt_texts_total", (("finish_reason", "failed"),)] == 1


def test_refusals_are_counted_by_reason_of_which_there_are_not_endlessly_many() -> None:
    watch = Watch()
    for number in range(MAX_REASONS + 5):
        watch.refused(400, f"reason_{number}")
    watch.refused(400, "reason_0")
    counts = {
        labels: count for (name, labels), count in read(watch).items() if name == "minigpt_requests_total"
    }

    assert len(counts) == MAX_REASONS + 1
    assert counts[("code", "reason_0"), ("status", "400")] == 2
    assert counts[("code", "other"), ("status", "other")] == 5


def test_the_model_in_use_is_one_and_a_switch_is_from_one_to_another() -> None:
    watch = Watch()
    watch.put_in_use("minigpt", "3", "data")
    watch.put_in_use("minigpt", "3", "data")
    before = read(watch)
    watch.put_in_use("minigpt", "4", "data")
    watch.take_no_more()
    after = read(watch)

    assert (before["minigpt_model_switches_total", ()], before["minigpt_ready", ()]) == (0, 1)
    assert (after["minigpt_model_switches_total", ()], after["minigpt_ready", ()]) == (1, 0)
    models = [labels for name, labels in after if name == "minigpt_model_info"]
    assert models == [(("data", "data"), ("name", "minigpt"), ("version", "4"))]


def test_gauges_are_what_the_server_sets() -> None:
    watch = Watch()
    watch.slots.set(64)
    watch.busy_slots.set(3)
    watch.waiting.set(2)
    samples = read(watch)

    assert [samples[f"minigpt_{name}", ()] for name in ("slots", "busy_slots", "waiting_texts")] == [64, 3, 2]
    assert samples["process_resident_memory_bytes", ()] > 0


def test_servers_of_one_process_count_apart() -> None:
    first, second = Watch(), Watch()
    first.answered(make_text())

    assert read(second)["minigpt_new_tokens_total", ()] == 0


def test_threads_lose_no_count() -> None:
    watch = Watch()
    threads = [
        threading.Thread(target=lambda: [watch.answered(make_text()) for _ in range(200)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(watch)["minigpt_new_tokens_total", ()] == 8 * 200 * 40


def test_what_is_counted_is_logged_with_the_model_in_use(tmp_path: Path) -> None:
    watch = Watch(tmp_path, keep_days=3)
    watch.refused(503, "no_model")
    watch.put_in_use("minigpt", "3", "data")
    watch.answered(make_text(prompt="canary", text="canary"))
    watch.refused(429, "overloaded")
    watch.close()

    lines = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    found = sorted((line["kind"], line["data"], line["model_version"]) for line in lines)
    assert found == [("answered", "data", "3"), ("refused", "", ""), ("refused", "data", "3")]
    assert "canary" not in json.dumps(lines)


def test_lines_that_are_lost_are_counted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    watch = Watch(tmp_path / "file")
    watch.answered(make_text())
    watch.close()

    assert read(watch)["minigpt_log_lost_lines_total", ()] == 1
