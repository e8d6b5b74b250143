"""Finds the offsets of struct members in the running kernel, from its own type information (BTF).

The format is described in the kernel's Documentation/bpf/btf.rst. Taking offsets from here means that no
kernel headers are needed on the node, and that a changed kernel is noticed rather than misread.
"""

import struct
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import ProbeError

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("=HBBIIIII")
_TYPE: Final = struct.Struct("=III")
_MEMBER: Final = struct.Struct("=III")

_STRUCTS: Final = (4, 5)
_TYPEDEF: Final = 8
_TRACEPOINT: Final = b"btf_trace_"
_MODIFIERS: Final = (8, 9, 10, 11)
"""typedef, volatile, const, restrict: they lead to another type."""

_FIXED_TAIL: Final = {1: 4, 2: 0, 3: 12, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0, 12: 0, 14: 4, 16: 0, 17: 4, 18: 0}
_PER_MEMBER_TAIL: Final = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


class Btf:
    """Type information of a kernel.

    Args:
        data: content of a BTF file.

    Raises:
        ProbeError: it is not BTF, or of a kind that this reader does not know.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
            words = "the kernel's type information is not BTF: is this kernel supported?"
            raise ProbeError("BTFUnreadable", words, lasting=True)
        _, _, _, header, type_offset, type_length, string_offset, _ = _HEADER.unpack_from(data)
        self._data = data
        self._strings = header + string_offset
        self._offsets = [0]
        self._named: dict[str, int] = {}
        self._tracepoints: dict[str, int] = {}
        self._index(header + type_offset, header + type_offset + type_length)

    def offset(self, struct_name: str, *members: str) -> int:
        """Return the offset, in bytes, of a member; further names go into nested structs.

        Raises:
            ProbeError: the kernel has no such struct or member.
        """
        where = self._named.get(struct_name)
        total = 0
        for member in members:
            found = self._member(where, member) if where else None
            if found is None:
                raise ProbeError(
                    "BTFMemberMissing",
                    f"this kernel has no {struct_name}.{'.'.join(members)}: report its version to the project",
                    lasting=True,
                )
            bits, where = found
            total += bits // 8
        return total

    def tracepoint(self, name: str) -> int:
        """Return the id of a raw tracepoint's type.

        Raises:
            ProbeError: the kernel has no such tracepoint.
        """
        if name not in self._tracepoints:
            raise ProbeError("TracepointMissing", f"this kernel has no tracepoint {name}", lasting=True)
        return self._tracepoints[name]

    def _index(self, position: int, end: int) -> None:
        while position < end:
            name, info, _ = _TYPE.unpack_from(self._data, position)
            kind, members = info >> 24 & 0x1F, info & 0xFFFF
            if kind in _STRUCTS and name and members:
                self._named.setdefault(self._string(name), len(self._offsets))
            if kind == _TYPEDEF and self._data.startswith(_TRACEPOINT, self._strings + name):
                self._tracepoints[self._string(name).removeprefix(_TRACEPOINT.decode())] = len(self._offsets)
            self._offsets.append(position)
            tail = _FIXED_TAIL.get(kind)
            if tail is None and kind not in _PER_MEMBER_TAIL:
                words = f"the kernel's BTF has type kind {kind}, which is unknown here"
                raise ProbeError("BTFUnreadable", words, lasting=True)
            position += _TYPE.size + (tail if tail is not None else _PER_MEMBER_TAIL[kind] * members)

    def _string(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(b"\0", start)].decode()

    def _member(self, identifier: int, wanted: str) -> tuple[int, int] | None:
        """Return the offset in bits and the type of a member, also of anonymous structs within."""
        position = self._offsets[self._resolve(identifier)]
        _, info, _ = _TYPE.unpack_from(self._data, position)
        if info >> 24 & 0x1F not in _STRUCTS:
            return None
        packed = info >> 31
        for number in range(info & 0xFFFF):
            name, kind, bits = _MEMBER.unpack_from(self._data, position + _TYPE.size + number * _MEMBER.size)
            offset = bits & 0xFFFFFF if packed else bits
            if name and self._string(name) == wanted:
                return offset, kind
            inner = None if name else self._member(kind, wanted)
            if inner:
                return offset + inner[0], inner[1]
        return None

    def _resolve(self, identifier: int) -> int:
        for _ in range(32):
            _, info, target = _TYPE.unpack_from(self._data, self._offsets[identifier])
            if info >> 24 & 0x1F not in _MODIFIERS:
                return identifier
            identifier = target
        raise ProbeError("BTFUnreadable", "the kernel's BTF goes round in circles")


def load(path: Path = VMLINUX) -> Btf:
    """Return the running kernel's type information.

    Raises:
        ProbeError: the kernel has none.
    """
    try:
        return Btf(path.read_bytes())
    except OSError as error:
        words = f"{path} cannot be read ({error.strerror}): the kernel needs CONFIG_DEBUG_INFO_BTF=y"
        raise ProbeError("BTFMissing", words, lasting=True) from error
