// What programs cost is timed by themselves, one run in some: the kernel's own statistics need SYS_ADMIN, and slow all
// programs of the machine down.

#define TIME_ONE_IN 64

// Of one processor, since the programs were loaded.
struct cost {
  u64 runs;
  u64 timed;     // of these runs
  u64 timed_ns;
};

// Returns when the run began, where it is timed; else 0.
static __always_inline u64 cost_begin(struct cost *cost) {
  cost->runs += 1;
  return cost->runs % TIME_ONE_IN ? 0 : bpf_ktime_get_ns();
}

static __always_inline void cost_end(struct cost *cost, u64 since) {
  if (!since) return;
  cost->timed += 1;
  cost->timed_ns += bpf_ktime_get_ns() - since;
}
