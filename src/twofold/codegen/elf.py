"""Place a relocatable x86-64 ELF object in this process. Floor 3. bytes -> addresses by name.

A compiled kernel is an object file: sections of bytes, a table of symbols, and relocations, which
are the places where an address must be written once it is known. The image is filled in memory that
is writable; then its code becomes executable and its constants read-only, so no page is ever both
writable and executable. Calls out of the image go through stubs (`jmp *slot`), so that they reach
however far it is.
The memory is never given back: objects that die at exit may still call into it.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable

from twofold.base.errors import TwofoldError
from twofold.base.records import NamedTuple


class LoadError(TwofoldError, RuntimeError):
    """An object file that cannot be placed in this process."""


class Section(NamedTuple):
    """A header of the section table, in the order of the file."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class Symbol(NamedTuple):
    name: str
    section: int
    value: int
    exported: bool


class Relocation(NamedTuple):
    """Write an address at `offset` of `section`."""

    section: int
    offset: int
    kind: int
    symbol: int
    addend: int


HEADER = struct.Struct("<7s9x2H20xQ10x3H")
SECTION = struct.Struct("<2I4Q2I2Q")
SYMBOL = struct.Struct("<I2BH2Q")
RELOCATION = struct.Struct("<Q2Iq")
RELOCATABLE, X86_64 = 1, 62
SYMBOL_TABLE, RELOCATIONS, NO_BYTES = 2, 4, 8  # kinds of sections
WRITE, ALLOCATE, EXECUTE, THREAD_LOCAL = 1, 2, 4, 0x400  # flags of sections
UNDEFINED, ABSOLUTE, RESERVED = 0, 0xFFF1, 0xFF00  # sections of symbols

# S is the symbol's address, A the addend, P the place, G the address of the symbol's slot.
ABS64, PC32, PLT32, PC64, GOTPC = (
    "S + A",
    "S + A - P",
    "call: S or stub + A - P",
    "64: S + A - P",
    "G",
)
KINDS = {1: ABS64, 2: PC32, 4: PLT32, 9: GOTPC, 24: PC64, 41: GOTPC, 42: GOTPC}

# The groups of pages, in the order of the image: the flags of their sections, their final rights.
GROUPS = (
    (ALLOCATE | EXECUTE, mmap.PROT_READ | mmap.PROT_EXEC),
    (ALLOCATE, mmap.PROT_READ),
    (ALLOCATE | WRITE, mmap.PROT_READ | mmap.PROT_WRITE),
)
JUMP = b"\xff\x25"  # jmp *disp32(%rip)
STUB = SLOT = 8

_process = ctypes.CDLL(None, use_errno=True)
_map = _process.mmap
_map.restype = ctypes.c_void_p
_map.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_protect = _process.mprotect
_protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

Resolve = Callable[[str], int | None]


def process_symbol(name: str) -> int | None:
    """The address of a function that this process has already loaded, such as memcpy."""
    try:
        return ctypes.cast(_process[name], ctypes.c_void_p).value
    except AttributeError:
        return None


def load(data: bytes, resolve: Resolve = process_symbol) -> dict[str, int]:
    """Place the object and give the addresses of what it exports.

    `resolve` finds the names that it leaves open. Raises LoadError where the file is no object for
    this kind of process, a name is not found, or the system refuses the memory.
    """
    sections = _sections(data)
    symbols = _symbols(data, sections)
    relocations = _relocations(data, sections)
    image = _Image(data, sections, symbols, relocations)
    outside = _outside(symbols, relocations, resolve)
    for relocation in relocations:
        image.relocate(relocation, outside)
    image.publish()
    return {
        symbol.name: image.address(symbol)
        for symbol in symbols
        if symbol.exported and symbol.section in image.places
    }


# ---- reading the file ----------------------------------------------------------------------------


def _sections(data: bytes) -> list[Section]:
    if len(data) < HEADER.size:
        raise LoadError("load", "the object file is cut off", bytes=len(data))
    magic, kind, machine, at, size, count, _ = HEADER.unpack_from(data)
    if magic != b"\x7fELF\x02\x01\x01" or (kind, machine) != (RELOCATABLE, X86_64):
        raise LoadError("load", "this is no relocatable x86-64 object", start=data[:20])
    if size != SECTION.size or at + size * count > len(data):
        raise LoadError("load", "the object file is cut off", bytes=len(data))
    return [Section(*SECTION.unpack_from(data, at + size * i)) for i in range(count)]


def _symbols(data: bytes, sections: list[Section]) -> list[Symbol]:
    table = next((s for s in sections if s.kind == SYMBOL_TABLE), None)
    if table is None:
        return []
    names = sections[table.link].offset
    symbols = []
    for at in range(table.offset, table.offset + table.size, SYMBOL.size):
        name, info, _, section, value, _ = SYMBOL.unpack_from(data, at)
        text = data[names + name : data.index(b"\0", names + name)].decode()
        if section >= RESERVED and section != ABSOLUTE and info & 15 != 4:  # 4 is the file's name
            raise LoadError("load", f"{text} is in a section that we do not know", section=section)
        symbols.append(Symbol(text, section, value, info >> 4 != 0))
    return symbols


def _relocations(data: bytes, sections: list[Section]) -> list[Relocation]:
    found = []
    for section in sections:
        if section.kind != RELOCATIONS or not sections[section.info].flags & ALLOCATE:
            continue
        for at in range(section.offset, section.offset + section.size, RELOCATION.size):
            offset, kind, symbol, addend = RELOCATION.unpack_from(data, at)
            if kind not in KINDS:
                raise LoadError("load", "a relocation that we do not know", kind=kind)
            found.append(Relocation(section.info, offset, kind, symbol, addend))
    return found


def _outside(
    symbols: list[Symbol], relocations: list[Relocation], resolve: Resolve
) -> dict[int, int]:
    """The addresses of the symbols that the object uses and does not have."""
    found = {}
    for number in {r.symbol for r in relocations}:
        symbol = symbols[number]
        if symbol.section != UNDEFINED:
            continue
        address = resolve(symbol.name)
        if address is None:
            raise LoadError("load", f"nobody in this process has {symbol.name!r}")
        found[number] = address
    return found


# ---- filling the memory --------------------------------------------------------------------------


class _Image:
    """The bytes to be, and the address at which they will lie."""

    def __init__(
        self,
        data: bytes,
        sections: list[Section],
        symbols: list[Symbol],
        relocations: list[Relocation],
    ) -> None:
        self.symbols = symbols
        self.places: dict[int, int] = {}  # where sections begin
        self.stubs: dict[int, int] = {}  # where the stub of a symbol lies
        self.slots: dict[int, int] = {}  # where the slot with a symbol's address lies
        self.spans: list[tuple[int, int, int]] = []  # begin, end, rights of each group of pages
        calls = {r.symbol for r in relocations if KINDS[r.kind] == PLT32}
        self.calls = {n for n in calls if symbols[n].section == UNDEFINED}
        self.reads = {r.symbol for r in relocations if KINDS[r.kind] == GOTPC} | self.calls
        self.bytes = bytearray(self._lay_out(sections))
        self.base = reserve(len(self.bytes))
        for number, at in self.places.items():
            s = sections[number]
            if s.kind != NO_BYTES:
                self.bytes[at : at + s.size] = data[s.offset : s.offset + s.size]
        for number, at in self.stubs.items():
            self.bytes[at : at + 2] = JUMP
            struct.pack_into("<i", self.bytes, at + 2, self.slots[number] - at - 6)

    def _lay_out(self, sections: list[Section]) -> int:
        """Give every section, stub and slot its place; the size of the image."""
        end = 0
        for flags, rights in GROUPS:
            begin = end = _round_up(end, mmap.PAGESIZE)
            for number, section in enumerate(sections):
                if section.flags & (WRITE | ALLOCATE | EXECUTE) != flags:
                    continue
                if section.flags & THREAD_LOCAL:
                    raise LoadError("load", "thread-local data is not supported")
                self.places[number] = _round_up(end, section.align)
                end = self.places[number] + section.size
            if flags & EXECUTE:
                end = _reserve_each(self.calls, self.stubs, end, STUB)
            elif not flags & WRITE:
                end = _reserve_each(self.reads, self.slots, end, SLOT)
            self.spans.append((begin, end, rights))
        return max(end, 1)

    def address(self, symbol: Symbol) -> int:
        """Where a symbol of the object itself lies."""
        if symbol.section == ABSOLUTE:
            return symbol.value
        if symbol.section not in self.places:
            raise LoadError("load", f"{symbol.name!r} is in no section that is loaded")
        return self.base + self.places[symbol.section] + symbol.value

    def relocate(self, r: Relocation, outside: dict[int, int]) -> None:
        """Write one address."""
        at = self.places[r.section] + r.offset
        place = self.base + at
        target = outside[r.symbol] if r.symbol in outside else self.address(self.symbols[r.symbol])
        if r.symbol in self.slots:
            struct.pack_into("<Q", self.bytes, self.slots[r.symbol], target)
        kind = KINDS[r.kind]
        if kind == ABS64:
            struct.pack_into("<Q", self.bytes, at, target + r.addend)
        elif kind == PC64:
            struct.pack_into("<q", self.bytes, at, target + r.addend - place)
        else:
            if kind == GOTPC:
                target = self.base + self.slots[r.symbol]
            elif r.symbol in self.stubs:
                target = self.base + self.stubs[r.symbol]
            self._near(at, target + r.addend - place, r)

    def _near(self, at: int, distance: int, r: Relocation) -> None:
        try:
            struct.pack_into("<i", self.bytes, at, distance)
        except struct.error:
            name = self.symbols[r.symbol].name
            raise LoadError("load", f"{name!r} is too far away", relocation=r.kind) from None

    def publish(self) -> None:
        """Copy the bytes to their place and give the pages their rights."""
        size = len(self.bytes)
        ctypes.memmove(self.base, (ctypes.c_char * size).from_buffer(self.bytes), size)
        for begin, end, rights in self.spans:
            if end > begin:
                protect(self.base + begin, end - begin, rights)


def _round_up(number: int, multiple: int) -> int:
    multiple = max(multiple, 1)
    return -(-number // multiple) * multiple


def _reserve_each(numbers: set[int], places: dict[int, int], end: int, size: int) -> int:
    """A place of `size` bytes for each, from `end` on; where they end."""
    end = _round_up(end, size)
    for number in sorted(numbers):
        places[number] = end
        end += size
    return end


def reserve(size: int) -> int:
    """Fresh private memory: after a fork each process has its own data."""
    rights = mmap.PROT_READ | mmap.PROT_WRITE
    address = _map(None, size, rights, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise _refused("memory for code")
    return int(address)


def protect(address: int, size: int, rights: int) -> None:
    """Give pages their rights."""
    if _protect(address, size, rights):
        raise _refused("executable memory" if rights & mmap.PROT_EXEC else "page rights")


def _refused(what: str) -> LoadError:
    number = ctypes.get_errno()
    hint = "a system that forbids new executable memory (SELinux, systemd) cannot run our kernels"
    return LoadError("load", f"the system refused {what}", errno=number, hint=hint)
