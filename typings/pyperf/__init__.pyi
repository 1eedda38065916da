# Types of the part that the benchmarks use; the package ships none.
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Self

class Benchmark:
    def get_name(self) -> str: ...
    def get_values(self) -> tuple[float, ...]: ...
    def median(self) -> float: ...

class BenchmarkSuite:
    @classmethod
    def load(cls, file: str) -> Self: ...
    def get_benchmarks(self) -> list[Benchmark]: ...

class Runner:
    argparser: ArgumentParser
    def __init__(
        self,
        *,
        loops: int = 0,
        min_time: float = 0.1,
        program_args: tuple[str, ...] | None = None,
        add_cmdline_args: Callable[[list[str], Namespace], None] | None = None,
    ) -> None: ...
    def parse_args(self, args: list[str] | None = None) -> Namespace: ...
    def bench_time_func(
        self, name: str, time_func: Callable[..., float], *args: object
    ) -> Benchmark | None: ...
