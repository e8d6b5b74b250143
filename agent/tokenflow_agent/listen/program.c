// Accept queues: the longest that each was within the window.
// Offsets of kernel structs come in as constants (OFF_*), read from BTF when this is compiled.
//
// The kernel says when a connection was put into a queue, but nothing when it finds the queue full, nor when one
// is taken out. So user space has queues that were not empty looked at again, by their addresses.

#include "read.h"
#include "cost.h"

#define TCP_LISTEN 10

// Of one processor, since the programs were loaded.
struct counters_t {
  struct cost cost;
  u64 events;
  u64 map_full;
};

struct queue_t {
  u64 cgroup;
  u32 network;
  u32 port;
  u32 limit;
  u32 longest;
  u32 length;       // when it was last looked at
  u32 drops;        // since it listens
  u32 first_drops;  // when this window first met it
  u32 unused;
};

BPF_HASH(queues_0, u64, struct queue_t, MAX_QUEUES);
BPF_HASH(queues_1, u64, struct queue_t, MAX_QUEUES);
BPF_ARRAY(parity, u32, 1);
BPF_PERCPU_ARRAY(counters, struct counters_t, 1);

static __always_inline struct counters_t *counters_of(void) {
  u32 zero = 0;
  return counters.lookup((int *)&zero);
}

static __always_inline struct queue_t *queue_of(u64 sk) {
  u32 zero = 0;
  u32 *half = parity.lookup((int *)&zero);
  struct queue_t none = {};
  struct queue_t *queue = half && *half ? queues_1.lookup_or_try_init(&sk, &none)
                                        : queues_0.lookup_or_try_init(&sk, &none);
  struct counters_t *here = queue ? 0 : counters_of();
  if (here) here->map_full += 1;
  return queue;
}

// A macro, because the two programs may read kernel memory in different ways.
#define LOOK_AT(READ, sk) ({ \
  struct queue_t *queue = queue_of(sk); \
  if (queue) { \
    queue->length = READ(u32, sk, OFF_BACKLOG); \
    queue->drops = READ(u32, sk, OFF_DROPS); \
    if (!queue->port) { \
      queue->port = READ(u16, sk, OFF_NUM); \
      queue->first_drops = queue->drops; \
      u64 network = READ(u64, sk, OFF_NET); \
      if (network) queue->network = READ(u32, network, OFF_NET_INODE); \
      u64 cgroup = READ(u64, sk, OFF_SOCK_CGROUP); \
      u64 node = cgroup ? READ(u64, cgroup, OFF_CGROUP_NODE) : 0; \
      if (node) queue->cgroup = READ(u64, node, OFF_NODE_ID); \
    } \
    queue->limit = READ(u32, sk, OFF_LIMIT); \
    if (queue->length > queue->longest) queue->longest = queue->length; \
  } })

// Runs for every socket that received something: most are no listeners. As a kprobe, for every listener that a
// connection came to.
int sk_data_ready(u64 *ctx) {
  struct counters_t *here = counters_of();
  if (!here) return 0;
  u64 since = cost_begin(&here->cost);
  u64 sk = ARGUMENT(ctx, 0);
  if ((u8)LOAD(u8, sk, OFF_STATE) == TCP_LISTEN) {
    here->events += 1;
    LOOK_AT(LOAD, sk);
  }
  cost_end(&here->cost, since);
  return 0;
}

// Run by user space, with addresses that were listeners: one that was freed is read as whatever is there now,
// which faults nowhere and is no listener, or is a newer one.
int look_again(u64 *ctx) {
#pragma unroll
  for (int i = 0; i < ARGUMENTS; i++) {
    u64 sk = CONTEXT(ctx, i * 8);
    if (sk && (u8)PROBE(u8, sk, OFF_STATE) == TCP_LISTEN) LOOK_AT(PROBE, sk);
  }
  return 0;
}
