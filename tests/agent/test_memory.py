import subprocess
import sys

from tokenflow_agent.memory import untouched

SMAPS = """\
00400000-0041f000 r--p 00000000 00:1b 1 /usr/bin/python3.11
Size:                124 kB
Anonymous:             0 kB
0041f000-006b8000 r-xp 0001f000 00:1b 1 /usr/bin/a name with spaces
Anonymous:             0 kB
00a3a000-00a3b000 r--p 00639000 00:1b 1 /usr/bin/python3.11
Anonymous:             4 kB
00a3b000-00b79000 rw-p 0063a000 00:1b 1 /usr/bin/python3.11
Anonymous:             0 kB
00b79000-00c00000 r--p 00000000 00:00 0
Anonymous:             0 kB
00c00000-00c01000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
"""


def test_only_what_is_as_its_file_is_may_go() -> None:
    assert list(untouched(SMAPS)) == [(0x400000, 0x1F000), (0x41F000, 0x299000)]


def test_a_process_works_on_with_less() -> None:
    program = (
        "import asyncio, json, zlib, tokenflow_api.codec\n"
        "from tokenflow_agent.cost import resident_bytes\n"
        "from tokenflow_agent.memory import give_back\n"
        "before = resident_bytes()\n"
        "give_back()\n"
        "print(before - resident_bytes())\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "assert json.loads(zlib.decompress(zlib.compress(b'[1]'))) == [1]\n"
    )
    saved = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(saved) > 2_000_000
