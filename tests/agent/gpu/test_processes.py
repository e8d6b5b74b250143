"""Laws of the memory by pod."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.gpu.processes import table
from tokenflow_agent.identity import Pod

pids = st.integers(1, 20)
pods = st.dictionaries(pids, st.sampled_from([Pod(uid, "shop", f"web-{uid}") for uid in "abc"]))
held = st.dictionaries(st.sampled_from(["GPU-a", "GPU-b"]), st.dictionaries(pids, st.integers(0, 2**40)))


@given(held, pods)
def test_memory_of_pods_is_neither_lost_nor_counted_twice(
    memory: dict[str, dict[int, int]], of_pods: dict[int, Pod]
) -> None:
    rows = table(memory, of_pods)
    expected: Counter[tuple[str, str]] = Counter()
    for uuid, processes in memory.items():
        for pid, size in processes.items():
            if pid in of_pods:
                expected[uuid, of_pods[pid].uid] += size
    assert dict(zip(zip(rows.uuid, rows.pod_uid, strict=True), rows.memory_used_bytes, strict=True)) == expected
