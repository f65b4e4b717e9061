"""How fast this machine multiplies matrices, in the run in which it is asked."""

from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Variant
from benchmarks.results import Row
from benchmarks.worker import Worker, repeat

SHAPES = (
    # The output layer: states x weights, in blocks and as a whole batch of 128 x 80, and its way back.
    (512, 256, 20000),
    (2048, 256, 20000),
    (10240, 256, 20000),
    (512, 20000, 256),
    (256, 2048, 20000),
    (2048, 2048, 2048),
    (4096, 4096, 4096),
)
"""Rows, inner dimension and columns of the products."""

PRECISIONS = ("float32", "bfloat16")


class MachineLimit(Worker):
    """Measures every shape in every precision."""

    def __init__(self, seconds: float, device: str) -> None:
        import tensorflow as tf

        from benchmarks.tensorflow_device import choose_device

        self.seconds = seconds
        self.info = {"device": choose_device(device)}
        generator = tf.random.Generator.from_seed(1)
        self.operands = {
            (shape, precision): (
                tf.cast(generator.normal(shape[:2]), precision),
                tf.cast(generator.normal(shape[1:]), precision),
            )
            for shape in SHAPES
            for precision in PRECISIONS
        }
        self.multiply = tf.function(tf.matmul, reduce_retracing=False)

    def measure(self) -> dict[str, float]:
        """Return FLOP/s by precision, and by precision and shape."""
        measured: dict[str, float] = {}
        for (shape, precision), operands in self.operands.items():
            rate = self._measure_product(shape, operands)
            measured[f"{precision} {'x'.join(map(str, shape))}"] = rate
        return best_of_precisions(measured) | measured

    def _measure_product(self, shape: tuple[int, int, int], operands: tuple[Any, Any]) -> float:
        rows, inner, columns = shape
        times_at_once = 1 + int(2e9 / (rows * inner * columns))

        def multiply() -> None:
            for _ in range(times_at_once):
                product = self.multiply(*operands)
            product[0, 0].numpy()  # waits for a device that works on its own

        multiply()
        return 2 * rows * inner * columns * times_at_once / repeat(multiply, self.seconds)


def best_of_precisions(measured: dict[str, float]) -> dict[str, float]:
    """Return the best FLOP/s of each precision, from those of `{precision} {shape}`."""
    return {
        precision: max(rate for name, rate in measured.items() if name.startswith(f"{precision} "))
        for precision in PRECISIONS
    }


def make_variant(device: str, seconds: float) -> Variant:
    """Return the limit as a variant, which has no row of its own in a table."""
    worker = "benchmarks.comparisons.machine_limit:MachineLimit"
    return Variant("machine limit", worker, {"seconds": seconds, "device": device}, is_listed=False)


def find_limit(rows: Sequence[Row]) -> tuple[float, str]:
    """Return the best FLOP/s of a run, of all precisions, shapes and rounds, and how it was reached in words."""
    samples: dict[str, list[float]] = next(row["samples"] for row in rows if row["name"] == "machine limit")
    best = {name: max(rates) for name, rates in samples.items() if name not in PRECISIONS}
    reached_by = max(best, key=lambda name: best[name])
    limits = ", ".join(
        f"{rate / 1e9:,.0f} GFLOP/s in {precision}" for precision, rate in best_of_precisions(best).items()
    )
    return best[reached_by], f"Limit of the machine in this run: {limits} (the best product: {reached_by})."
