"""Compiled unpacking: one call from the bytes of a block to its arrays.

The functions allocate nothing and raise nothing; callers and the file's directory bound every index. Damaged bytes are
reported as an error number, an index into ``WRONG``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import inline, loop, noinline
from operators.kernels.foreign import address_of, call_2, call_5, word_at
from runtime.pointfile.frames import JOINED
from runtime.pointfile.layout import BITS, BITWISE, CONST, FOR, LINEAR, MAX_SCALE, PARTS, POSITION_WIDTH, RUNS
from runtime.pointfile.raw_frames import SHORTEST, both_copied, copied
from runtime.pointfile.reading.decode import bits, codes, decimals, deltas, divided, integers, lines, repeated, spread

BOOL, WHOLE, FLOAT, STRING = range(4)
"""Kinds of columns in compiled loops."""

ENCODING, SCALE, WIDTH, WIDTH2, NULLS, COUNT, BASE, TICK, STEP, FRAME = range(10)
"""Positions in a chunk's int64 row: the directory's fields, and its first frame."""

FIELDS = 10

FIRST_ROW, ROWS, FIRST_KEY, KEYS, MAX_STEP = range(5)
"""Positions in a block's int64 row."""

WRONG = (
    "",
    "a frame does not begin as it must",
    "zstd: a frame is damaged, or something follows it",
    "a frame holds less than it declares",
    "its null bitmap does not agree with its null count",
    "a code is outside its dictionary",
    "a boolean is neither 0 nor 1",
    "its runs do not add up to its rows",
    "a patch is outside its block",
)
_HEAD, _ZSTD, _SHORT, _NULLS, _CODE, _BOOLEAN, _FILL, _PATCH = range(1, len(WRONG))

FIRSTS, SLOPES, PART_4, PART_2, PART_1 = 8, 16, 24, 25, 26
"""Start of the parts of ``planes``, in multiples of a block's rows: the runs' first values (DELTA, LINEAR), their
slopes (LINEAR), and the parts of its distances."""


def planes_size(rows: int) -> int:
    """The length of ``planes`` for blocks of so many rows: untouched memory costs nothing."""
    return 27 * rows + 64


AT, OUT_ROWS, OUT_RUNS, ERROR, BAD_BLOCK, BAD_COLUMN = range(6)
"""Positions in ``st``: the next frame; rows and runs written; the error number, and where it occurred."""

POWERS = tuple(10.0**scale for scale in range(MAX_SCALE + 1))

_SMALL, _MIDDLE, _LARGE = 0x24FD2FB528, 0x64FD2FB528, 0xA4FD2FB528


@noinline
def take(z: Any, frames: Any, base: Any, st: Any, raw: Any, to: Any) -> Any:
    """Unpack the next frame's ``raw`` bytes to the address ``to``; returns 0 or an error number.

    ``z``: see ``zstd.ZstdContext``; ``frames``: each frame's offset in the file, whose first byte would be at ``base``.
    """
    lo = frames[st[AT]]
    size = frames[st[AT] + 1] - lo
    st[AT] += 1
    source = base + lo
    # A frame's first bytes are checked before zstd sees it, so that none makes it write more than expected.
    if not is_expected(source, size, raw):
        return _HEAD
    begin = stored_in(source, size, raw)
    if begin != 0:
        return 0 if copied(begin, to, raw) == checksum(begin + raw) else _ZSTD
    if call_2(z[1], source, size) != size:
        return _ZSTD
    got = call_5(z[0], z[2], to, raw, source, size)
    if got < 0:
        return _ZSTD
    return 0 if got == raw else _SHORT


@inline
def is_expected(source: Any, size: Any, raw: Any) -> Any:
    """Whether a frame of ``size`` bytes declares ``raw`` bytes."""
    if size < 12:
        return False
    head = word_at(source)
    if raw < 256:
        return (head & 0xFFFFFFFFFFFF) == (_SMALL | (raw << 40))
    if raw < 65792:
        return (head & 0xFFFFFFFFFFFFFF) == (_MIDDLE | ((raw - 256) << 40))
    return (head & 0xFFFFFFFFFF) == _LARGE and ((word_at(source + 4) >> 8) & 0xFFFFFFFF) == raw


@inline
def stored_in(source: Any, size: Any, raw: Any) -> Any:
    """The start of the bytes if the frame is a single uncompressed block; else 0."""
    if raw >= SHORTEST:
        begin = source + (6 if raw < 256 else 7 if raw < 65792 else 9)
        if size == begin - source + raw + 7 and (word_at(begin) & 0xFFFFFF) == (raw << 3 | 1):
            return begin + 3
    return np.int64(0)


@inline
def checksum(at: Any) -> Any:
    """The 32 bits at an address: the checksum at the end of a frame."""
    return (word_at(at - 4) >> 32) & 0xFFFFFFFF


@noinline
def take_two(z: Any, frames: Any, base: Any, st: Any, raw: Any, to: Any, raw2: Any, to2: Any) -> Any:
    """Unpack the next two frames, as ``take``; returns 0 or an error number."""
    lo, middle, hi = frames[st[AT]], frames[st[AT] + 1], frames[st[AT] + 2]
    source, source2 = base + lo, base + middle
    if is_expected(source, middle - lo, raw) and is_expected(source2, hi - middle, raw2):
        begin, begin2 = stored_in(source, middle - lo, raw), stored_in(source2, hi - middle, raw2)
        if begin != 0 and begin2 != 0:
            st[AT] += 2
            first, second = both_copied(begin, to, raw, begin2, to2, raw2)
            return 0 if first == checksum(begin + raw) and second == checksum(begin2 + raw2) else _ZSTD
    wrong = take(z, frames, base, st, raw, to)
    return wrong if wrong != 0 else take(z, frames, base, st, raw2, to2)


@noinline
def take_planes(z: Any, frames: Any, base: Any, st: Any, count: Any, width: Any, out: Any) -> Any:
    """Unpack the next array's planes to the start of ``out``; returns 0 or an error number."""
    to = np.int64(address_of(out))
    if count * width == 0:
        return 0
    if count * width <= JOINED:
        return take(z, frames, base, st, count * width, to)
    for k in range(0, width - 1, 2):
        wrong = take_two(z, frames, base, st, count, to + k * count, count, to + (k + 1) * count)
        if wrong != 0:
            return wrong
    return take(z, frames, base, st, count, to + (width - 1) * count) if width & 1 else 0


@inline
def take_lines(z: Any, frames: Any, base: Any, st: Any, c: Any, rows: Any, runs: Any, planes: Any) -> Any:
    """Unpack a LINEAR chunk: whole bytes of distances to the start of ``planes``, the rest to its positions there;
    returns 0 or an error number."""
    wrong = take_planes(z, frames, base, st, runs, c[WIDTH], planes[FIRSTS * rows :])
    if wrong == 0:
        wrong = take_planes(z, frames, base, st, runs, c[COUNT], planes[SLOPES * rows :])
    if wrong != 0:
        return wrong
    whole, to = c[WIDTH2] >> 3, np.int64(address_of(planes))
    # Most need one whole byte and part of another.
    for part in PARTS:
        if c[WIDTH2] == 8 + part:
            return take_two(z, frames, base, st, rows, to, (rows * part + 7) >> 3, to + part_at(rows, part))
    wrong = take_planes(z, frames, base, st, rows, whole, planes)
    for part in PARTS:
        if wrong == 0 and c[WIDTH2] & part:
            wrong = take_planes(z, frames, base, st, (rows * part + 7) >> 3, 1, planes[part_at(rows, part) :])
    return wrong


@inline
def part_at(rows: Any, part: Any) -> Any:
    """The position in ``planes`` of the parts of so many bits."""
    return (PART_4 if part == 4 else PART_2 if part == 2 else PART_1) * rows


@inline
def spread_parts(planes: Any, rows: Any, bits_each: Any) -> Any:
    """Combine the parts of ``take_lines`` into one more byte plane after the whole ones; returns the new count."""
    whole = bits_each >> 3
    if bits_each & 7 == 0:
        return whole
    top = planes[whole * rows : (whole + 1) * rows]
    for i in range(rows):
        top[i] = 0
    shift = np.uint8(0)
    for part in PARTS:
        if bits_each & part:
            spread(planes[part_at(rows, part) :], part, rows, shift, top)
            shift += np.uint8(part)
    return whole + 1


@inline
def reference(
    kind: Any, c: Any, planes: Any, count: Any, table: Any, whole: Any, out8: Any, out4: Any, out1: Any
) -> Any:
    """``base + tick * u`` of each value, in the column's type; returns 0 or an error number."""
    base, width, tick, scale = c[BASE], c[WIDTH], c[TICK], c[SCALE]
    if kind == STRING:
        return _CODE if codes(planes, count, width, np.uint64(base), table, out4) else 0
    if kind == BOOL:
        most = np.uint8(0)
        for i in range(count):
            v = planes[i] if width > 0 else np.uint8(0)
            out1[i] = v
            most = max(most, v)
        return _BOOLEAN if most > 1 else 0
    if scale == BITWISE:
        integers(planes, count, width, np.uint64(base), np.uint64(tick), out8.view(np.uint64))
        return 0
    power = POWERS[scale]
    if 1 <= width <= 2 and -(1 << 30) < base < 1 << 30 and 0 < tick < 1 << 14:
        decimals(planes, count, width, base, tick, power, out8.view(np.float64))
    else:
        integers(planes, count, width, np.uint64(base), np.uint64(tick), whole)
        divided(whole, count, power, out8.view(np.float64))
    return 0


@inline
def unpack_chunk(
    z: Any,
    frames: Any,
    base: Any,
    st: Any,
    kind: Any,
    c: Any,
    rows: Any,
    runs: Any,
    lengths: Any,
    table: Any,
    planes: Any,
    whole: Any,
    counts: Any,
    out8: Any,
    out4: Any,
    out1: Any,
    valid: Any,
) -> Any:
    """Unpack one chunk's values and validity; returns 0 or an error number. ``rows``, ``runs``, ``lengths``: of the
    block.

    Values go to the array of their kind: ``out1`` booleans, ``out4`` strings (codes mapped by ``table``), ``out8`` all
    others. One value if the chunk is constant, one validity if no row or every row is null.
    """
    st[AT] = c[FRAME]
    valid[0] = 1
    if c[NULLS] == rows:
        valid[0] = 0
        # Only the column's own array: rows of the others belong to other columns.
        if kind == STRING:
            out4[0] = 0
        elif kind == BOOL:
            out1[0] = 0
        else:
            out8[0] = 0
        return 0
    if c[NULLS] > 0:
        wrong = take_planes(z, frames, base, st, (rows + 7) >> 3, 1, planes)
        if wrong != 0:
            return wrong
        bits(planes, rows, valid)
        present = 0
        for i in range(rows):
            present += valid[i]
        if present != rows - c[NULLS]:
            return _NULLS
    encoding, count = c[ENCODING], c[COUNT]
    if encoding == CONST:
        if kind == STRING:
            out4[0] = table[c[BASE]]
        elif kind == BOOL:
            out1[0] = c[BASE]
        else:
            out8[0] = c[BASE]
        return 0
    if encoding == BITS:
        wrong = take_planes(z, frames, base, st, (rows + 7) >> 3, 1, planes)
        if wrong != 0:
            return wrong
        bits(planes, rows, out1)
        return 0
    if encoding == RUNS:
        wrong = unpack_runs(z, frames, base, st, kind, c, rows, table, planes, whole, counts, out8, out4, out1)
        if wrong != 0:
            return wrong
        if kind == STRING:
            repeated(counts, count, rows, out4)
        elif kind == BOOL:
            repeated(counts, count, rows, out1)
        else:
            repeated(counts, count, rows, out8)
        return 0
    if encoding == FOR:
        wrong = take_planes(z, frames, base, st, rows, c[WIDTH], planes)
        if wrong != 0:
            return wrong
        wrong = reference(kind, c, planes, rows, table, whole, out8, out4, out1)
        if wrong != 0:
            return wrong
    elif encoding == LINEAR:
        wrong = take_lines(z, frames, base, st, c, rows, runs, planes)
        if wrong != 0:
            return wrong
        width = spread_parts(planes, rows, c[WIDTH2])
        lines(
            planes[FIRSTS * rows :], c[WIDTH], planes[SLOPES * rows :], count, planes, width, lengths, runs, rows,
            np.uint64(c[BASE]), np.uint64(c[TICK]), np.uint64(c[STEP]), out8.view(np.uint64),
        )  # fmt: skip
        return 0
    else:
        firsts = planes[FIRSTS * rows :]
        wrong = take_planes(z, frames, base, st, runs, c[WIDTH], firsts)
        if wrong != 0:
            return wrong
        wrong = take_planes(z, frames, base, st, rows - runs, c[WIDTH2], planes)
        if wrong != 0:
            return wrong
        to = out8.view(np.uint64) if c[SCALE] == BITWISE else whole
        deltas(
            firsts, c[WIDTH], planes, c[WIDTH2], lengths, runs, rows, np.uint64(c[BASE]), np.uint64(c[TICK]),
            np.uint64(c[STEP]), to,
        )  # fmt: skip
        if c[SCALE] != BITWISE:
            divided(whole, rows, POWERS[c[SCALE]], out8.view(np.float64))
    return patch(z, frames, base, st, count, rows, planes, whole, out8)


@inline
def patch(z: Any, frames: Any, base: Any, st: Any, count: Any, rows: Any, planes: Any, whole: Any, out8: Any) -> Any:
    """Insert the exact bits of values that are not decimals; returns 0 or an error number."""
    if count == 0:
        return 0
    wrong = take_planes(z, frames, base, st, count, POSITION_WIDTH, planes)
    if wrong != 0:
        return wrong
    integers(planes, count, POSITION_WIDTH, np.uint64(0), np.uint64(1), whole)
    wrong = take_planes(z, frames, base, st, count, 8, planes)
    if wrong != 0:
        return wrong
    for i in range(count):
        at = whole[i]
        if at >= np.uint64(rows):
            return _PATCH
        v = np.uint64(0)
        for k in range(8):
            v |= np.uint64(planes[k * count + i]) << np.uint64(8 * k)
        out8[at] = np.int64(v)
    return 0


@inline
def unpack_runs(
    z: Any,
    frames: Any,
    base: Any,
    st: Any,
    kind: Any,
    c: Any,
    rows: Any,
    table: Any,
    planes: Any,
    whole: Any,
    counts: Any,
    out8: Any,
    out4: Any,
    out1: Any,
) -> Any:
    """Unpack a RUNS chunk's values, one per run, and each run's end row into ``counts``; returns 0 or an error
    number."""
    count = c[COUNT]
    wrong = take_planes(z, frames, base, st, count, c[WIDTH], planes)
    if wrong != 0:
        return wrong
    wrong = reference(kind, c, planes, count, table, whole, out8, out4, out1)
    if wrong != 0:
        return wrong
    wrong = take_planes(z, frames, base, st, count, c[WIDTH2], planes)
    if wrong != 0:
        return wrong
    integers(planes, count, c[WIDTH2], np.uint64(0), np.uint64(1), whole)
    end = np.uint64(0)
    for i in range(count):
        # A length is one more than stored, and must not wrap.
        if whole[i] >= np.uint64(rows) - end:
            return _FILL
        end += whole[i] + np.uint64(1)
        counts[i] = np.int64(end)
    return 0 if end == np.uint64(rows) else _FILL


@inline
def run_lengths(starts: Any, block: Any, lengths: Any) -> Any:
    """The number of rows of each key in the block; ``starts``: the row at which each key of the file starts."""
    lo, first = block[FIRST_ROW], block[FIRST_KEY]
    hi = lo + block[ROWS]
    for r in range(block[KEYS]):
        lengths[r] = min(starts[first + r + 1], hi) - max(starts[first + r], lo)


VALUES, VALIDITIES = 1, 2
"""Flags of a column: values, or validities, are needed row by row even where one would serve a whole block."""


@loop(
    "i8(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[:,:,::1], i8[:,::1], i8, i8, i8[::1], "
    "i4[::1], i8[::1], i8[::1], i8[::1], u1[::1], u8[::1], i8[::1], i8[:,::1], i4[:,::1], u1[:,::1], u1[:,::1])",
    slow=True,
)
def unpack_blocks(
    z: Any, st: Any, frames: Any, bases: Any, kinds: Any, places: Any, wide: Any, chunks: Any, blocks: Any, first: Any,
    last: Any, starts: Any, tables: Any, table_at: Any, lengths: Any, runs_out: Any, planes: Any, whole: Any,
    counts: Any, out8: Any, out4: Any, out1: Any, valid: Any,
) -> Any:  # fmt: skip
    """Unpack all columns of blocks ``first`` to ``last - 1`` in sequence; returns 0 or an error number, with its place
    in ``st``.

    Column j is of ``kinds[j]``, its chunks are ``chunks[j]``, its frames are found from ``bases[j]``, its values go to
    row ``places[j]`` of the array for its kind, its validities to row j of ``valid``, for each row where the flags
    ``wide[j]`` say so. ``runs_out`` gets the lengths of the keys' runs, ``st[OUT_RUNS]`` their number.
    """
    at, runs, last_key = 0, 0, -1
    for b in range(first, last):
        block = blocks[b]
        rows = block[ROWS]
        run_lengths(starts, block, lengths)
        for r in range(block[KEYS]):
            if block[FIRST_KEY] + r == last_key:
                # The key's rows continue from the previous block.
                runs_out[runs - 1] += lengths[r]
            else:
                runs_out[runs] = lengths[r]
                runs += 1
        last_key = block[FIRST_KEY] + block[KEYS] - 1
        for j in range(len(kinds)):
            kind, place, c = kinds[j], places[j], chunks[j, b]
            to8 = out8[0 if kind in (STRING, BOOL) else place][at:]
            to4 = out4[place if kind == STRING else 0][at:]
            to1 = out1[place if kind == BOOL else 0][at:]
            mask = valid[j][at:]
            wrong = unpack_chunk(
                z, frames, bases[j], st, kind, c, rows, block[KEYS], lengths, tables[table_at[j] : table_at[j + 1]],
                planes, whole, counts, to8, to4, to1, mask,
            )  # fmt: skip
            if wrong != 0:
                st[BAD_BLOCK] = b
                st[BAD_COLUMN] = j
                return wrong
            if wide[j] & VALUES != 0 and c[ENCODING] == CONST:
                for i in range(1, rows):
                    if kind == STRING:
                        to4[i] = to4[0]
                    elif kind == BOOL:
                        to1[i] = to1[0]
                    else:
                        to8[i] = to8[0]
            if wide[j] & VALIDITIES != 0 and (c[NULLS] == 0 or c[NULLS] == rows):
                for i in range(1, rows):
                    mask[i] = mask[0]
        at += rows
    st[OUT_RUNS] = runs
    return 0
