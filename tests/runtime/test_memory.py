"""Blocks: aligned, used again, counted, given back; and arrays that own them."""

import gc
import pickle
import resource
import threading
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from twofold.base.errors import ArgumentError
from twofold.codegen.native import core
from twofold.runtime import memory, native

F32 = np.dtype(np.float32)
SHAPES = [(), (0,), (1,), (3, 5), (2, 0, 3), (1,) * 64, (1000,), (1023, 17)]


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    core.start()
    limit = memory.limit()
    gc.collect()
    memory.empty_cache()
    memory.reset_peak()
    yield
    memory.set_limit(limit)


def in_block(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return memory.empty_in_block(shape, dtype, int(np.prod(shape)) * dtype.itemsize)


WAYS = [memory.empty, in_block]


@pytest.mark.parametrize("empty", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_are_plain(empty: Callable[..., np.ndarray], shape: tuple[int, ...]) -> None:
    for name in ("f4", "f8", "i1", "c16", "?"):
        array = empty(shape, np.dtype(name))
        assert type(array) is np.ndarray
        assert array.shape == shape
        assert array.dtype is np.dtype(name)
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = 1
        assert (array == 1).all()
        fortran = np.empty(shape, np.dtype(name)).flags.f_contiguous
        assert array.flags.f_contiguous == fortran


def own_blocks() -> None:
    if core.start().tier == 1:
        pytest.skip("in this tier a block is an array's base")


def test_arrays_own_their_block() -> None:
    own_blocks()
    array = memory.empty((100,), F32)
    assert array.flags.owndata
    assert array.base is None
    assert native.get_handler_name(array) == "twofold"
    assert native.get_handler_name(np.empty(3)) == "default_allocator"


@pytest.mark.parametrize("empty", WAYS)
def test_a_freed_block_is_used_again(empty: Callable[..., np.ndarray]) -> None:
    for size in (1, 1000, 3_000_000):
        array = empty((size,), F32)
        place = array.ctypes.data
        del array
        assert empty((size,), F32).ctypes.data == place


def test_a_view_keeps_the_block() -> None:
    own_blocks()
    array = memory.empty((100,), F32)
    array[:] = 7
    view, alive = array[10:20], weakref.ref(array)
    before = memory.allocated()
    del array
    assert alive() is not None
    assert memory.allocated() == before
    assert (view == 7).all()
    del view
    assert alive() is None
    assert memory.allocated() < before


def test_resize_and_pickle() -> None:
    own_blocks()
    array = memory.empty((100,), F32)
    array[:] = np.arange(100)
    copy = array.copy()
    array.resize(5000, refcheck=False)
    assert (array[:100] == copy).all() and not array[100:].any()
    array.resize(10, refcheck=False)
    assert (array == copy[:10]).all()
    assert (pickle.loads(pickle.dumps(array)) == array).all()


def test_statistics() -> None:
    begin = memory.allocated()
    assert memory.cached() == 0
    first = memory.empty((1 << 20,), F32)
    size = memory.allocated() - begin
    assert 4 << 20 <= size <= (4 << 20) * 1.25 + 128
    second = memory.empty((1 << 20,), F32)
    assert memory.allocated() == begin + 2 * size
    del first
    assert memory.allocated() == begin + size
    assert memory.cached() == size
    assert memory.peak() == begin + 2 * size
    memory.reset_peak()
    assert memory.peak() == begin + size
    del second
    assert memory.cached() == 2 * size
    memory.empty_cache()
    assert memory.cached() == 0
    assert memory.allocated() == begin


def test_size_classes_waste_at_most_a_quarter() -> None:
    for size in [1, 63, 64, 65, 4032, 4033, 10**5, 2**20 - 64, 2**20, 10**7 + 1]:
        begin = memory.allocated()
        array = memory.empty((size,), np.dtype(np.uint8))
        taken = memory.allocated() - begin
        assert size + 64 <= taken <= max(128, (size + 64) * 1.25)
        del array


def test_the_cache_is_bounded() -> None:
    memory.set_limit(memory.allocated() + (3 << 20))
    arrays = [memory.empty((1 << 18,), F32) for _ in range(8)]
    assert memory.allocated() > memory.limit(), "the limit is on the cache, not on arrays"
    arrays.clear()
    assert 0 < memory.allocated() + memory.cached() <= memory.limit()


LARGE = """
import numpy as np
from twofold.codegen.native import core
from twofold.runtime import memory
core.start()
for _ in range(3):
    memory.empty((75 << 20,), np.dtype(np.uint8))
    print(memory.cached() >> 20)
"""


@pytest.mark.parametrize("tier", ["1", "2"])
def test_a_large_block_is_kept_once_its_size_comes_again(
    python: Callable[..., str], tier: str
) -> None:
    assert python(LARGE, TWOFOLD_TIER=tier).split() == ["0", "80", "80"]


def test_a_new_size_empties_a_full_cache() -> None:
    arrays = [memory.empty((1 << 18,), F32) for _ in range(8)]
    arrays.clear()
    cached = memory.cached()
    memory.set_limit(memory.allocated() + cached)
    assert memory.cached() == cached
    kept = memory.empty((1 << 19,), F32)
    assert memory.cached() == 0
    assert memory.allocated() + memory.cached() <= memory.limit()
    del kept


def test_a_larger_block_serves() -> None:
    large = memory.empty((1_000_000,), F32)
    place, taken = large.ctypes.data, memory.allocated()
    del large
    small = memory.empty((600_000,), F32)
    assert small.ctypes.data == place
    assert memory.allocated() == taken
    del small
    memory.empty((400_000,), F32).fill(0)
    assert memory.cached() > taken, "less than half of a block does not take it"


def test_sizes_that_do_not_come_again_are_not_kept() -> None:
    for size in range(1 << 20, 9 << 20, 1 << 18):
        one, other = memory.empty((size,), F32), memory.empty((size,), F32)
        del one, other
        held = memory.allocated() + memory.cached()
        assert held <= max(1.5 * memory.peak(), 64 << 20)


def test_a_smaller_limit_empties_the_cache() -> None:
    memory.empty((1 << 20,), F32).fill(1)
    assert memory.cached() > 0
    memory.set_limit(memory.allocated())
    assert memory.cached() == 0


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "1G"])
def test_wrong_limits_are_refused(wrong: int) -> None:
    with pytest.raises(ArgumentError, match="set_limit"):
        memory.set_limit(wrong)


def test_a_steady_loop_takes_no_page_faults() -> None:
    def step() -> None:
        memory.empty((2_000_000,), F32).fill(1)

    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 50


def test_steps_of_many_sizes_take_no_page_faults_again() -> None:
    """Like training: results are kept on the way there, and a gradient for each on the way back."""

    def step() -> None:
        kept = [memory.empty((size,), F32) for size in range(1 << 20, 4 << 20, 1 << 19)]
        while kept:
            gradient = memory.empty((kept.pop().size + 1000,), F32)
            gradient.fill(1)

    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 50


def test_memory_goes_back_to_the_system() -> None:
    def resident() -> int:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    begin = resident()
    arrays = [np.full_like(memory.empty((1 << 20,), F32), 1) for _ in range(2)]
    arrays = [memory.empty((5 << 20,), F32) for _ in range(4)]
    for array in arrays:
        array.fill(1)
    assert resident() - begin > 70 << 20
    del array
    arrays.clear()
    assert resident() - begin > 70 << 20
    memory.empty_cache()
    assert resident() - begin < 30 << 20


@pytest.mark.parametrize("empty", WAYS)
def test_absurd_sizes(empty: Callable[..., np.ndarray]) -> None:
    for size in (1 << 48, 1 << 57):
        with pytest.raises(MemoryError):
            empty((size,), F32)


def test_several_threads() -> None:
    failed: list[str] = []

    def work(mark: int) -> None:
        for turn in range(2000):
            array = memory.empty((1 + turn % 300,), F32)
            array.fill(mark)
            if not (array == mark).all():
                failed.append("two arrays share a block")

    begin = memory.allocated()
    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    assert memory.allocated() == begin


PRESSURE = """
import resource
import numpy as np
from twofold.codegen.native import core
from twofold.runtime import memory
core.start()
F32 = np.dtype("f4")
pages = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (pages + (64 << 20), -1))
arrays = [memory.empty((1 << 20,), F32) for _ in range(9)]      # some 45 MB
arrays.clear()
cached = memory.cached()
assert cached >= 9 * (4 << 20)
big = memory.empty((10 << 20,), F32)                            # fits only where the cache was
assert memory.cached() < cached
del big
begin = memory.allocated()
for _ in range(20):
    try:
        memory.empty((100 << 20,), F32)
    except MemoryError:
        continue
    raise SystemExit("memory that is not there")
assert memory.allocated() == begin
print(memory.empty((10,), F32).shape)
"""


@pytest.mark.parametrize("tier", ["1", "2"])
def test_under_pressure(python: Callable[..., str], tier: str) -> None:
    assert python(PRESSURE, TWOFOLD_TIER=tier) == "(10,)\n"


AT_EXIT = """
import sys
import numpy as np
from twofold.codegen.native import core
from twofold.runtime import memory
core.start()
class Last:
    def __init__(self): self.array = memory.empty((1000,), np.dtype("f4"))
    def __del__(self, empty=memory.empty, dtype=np.dtype("f4")): self.array = empty((2000,), dtype)
sys.last = Last()
loop = [memory.empty((10,), np.dtype("f4"))]
loop.append(loop)
np.kept = memory.empty((1 << 21,), np.dtype("f4"))[3:]
print("end")
"""


@pytest.mark.parametrize("tier", ["1", "2"])
def test_the_interpreter_ends_well(python: Callable[..., str], tier: str) -> None:
    assert python(AT_EXIT, TWOFOLD_TIER=tier) == "end\n"
