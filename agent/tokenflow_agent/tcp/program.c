// TCP health per pod, direction, service port and destination class.
// Offsets of kernel structs come in as constants (OFF_*), read from BTF when this is compiled.

#include "read.h"

#define AF_INET 2
#define AF_INET6 10

enum { COUNT_EVENTS, COUNT_MAP_FULL, COUNTERS };
enum { SERVED, DIALED };

struct key_t {
  u64 cgroup;
  u8 remote[16];      // IPv6, or IPv4 mapped into it; host bits cleared
  u16 service_port;   // of the listening side
  u8 direction;
  u8 epoch;           // window parity: the other half is being read
  u32 unused;
};

struct value_t {
  u64 segments;
  u64 rtt_sum_us;
  u64 retransmits;
  u32 rtt_min_us;
  u32 rtt_max_us;
};

BPF_HASH(windows, struct key_t, struct value_t, MAX_KEYS);
BPF_ARRAY(epoch, u32, 1);
BPF_ARRAY(counters, u64, COUNTERS);

static __always_inline u64 cgroup_of(u64 sk) {
  u64 cgroup = LOAD(u64, sk, OFF_SOCK_CGROUP);
  u64 node = cgroup ? LOAD(u64, cgroup, OFF_CGROUP_NODE) : 0;
  return node ? LOAD(u64, node, OFF_NODE_ID) : 0;
}

static __always_inline void clear_host_bits(u8 *remote) {
  int mapped = remote[10] == 0xff && remote[11] == 0xff;
#pragma unroll
  for (int i = 0; i < 10; i++) mapped = mapped && remote[i] == 0;
  if (mapped) { remote[15] = 0; return; }
#pragma unroll
  for (int i = 6; i < 16; i++) remote[i] = 0;
}

static __always_inline struct value_t *value_of(u64 sk) {
  struct key_t key = {};
  u32 zero = 0;
  u32 event_slot = COUNT_EVENTS, full_slot = COUNT_MAP_FULL;
  u64 *count = counters.lookup((int *)&event_slot);
  if (count) lock_xadd(count, 1);
  u16 family = LOAD(u16, sk, OFF_FAMILY);
  if (family == AF_INET) {
    key.remote[10] = key.remote[11] = 0xff;
    *(u32 *)&key.remote[12] = LOAD(u32, sk, OFF_DADDR);
  } else if (family == AF_INET6) {
    *(u64 *)&key.remote[0] = LOAD(u64, sk, OFF_V6_DADDR);
    *(u64 *)&key.remote[8] = LOAD(u64, sk, OFF_V6_DADDR + 8);
  } else {
    return 0;
  }
  clear_host_bits(key.remote);
  u16 local = LOAD(u16, sk, OFF_NUM);
  u16 peer = LOAD(u16, sk, OFF_DPORT);
  peer = (peer >> 8) | (peer << 8);
  // Servers listen on the lower port: clients take theirs from the ephemeral range.
  key.direction = local <= peer ? SERVED : DIALED;
  key.service_port = local <= peer ? local : peer;
  key.cgroup = cgroup_of(sk);
  u32 *parity = epoch.lookup((int *)&zero);
  if (parity) key.epoch = *parity & 1;
  struct value_t none = {.rtt_min_us = 0xffffffff};
  struct value_t *value = windows.lookup_or_try_init(&key, &none);
  if (!value) {
    count = counters.lookup((int *)&full_slot);
    if (count) lock_xadd(count, 1);
  }
  return value;
}

#ifdef DIRECT
static u64 (*as_tcp)(u64) = (void *)137;  // bpf_skc_to_tcp_sock
#else
#define as_tcp(sk) (sk)
#endif

int tcp_probe(u64 *ctx) {
  u64 sk = ARGUMENT(ctx, 0);
  struct value_t *value = value_of(sk);
  u64 tcp = as_tcp(sk);
  if (!value || !tcp) return 0;
  u32 srtt = LOAD(u32, tcp, OFF_SRTT);
  srtt >>= 3;  // the kernel keeps it shifted by 3
  if (!srtt) return 0;  // not measured yet: a zero would become the path's minimum
  lock_xadd(&value->segments, 1);
  lock_xadd(&value->rtt_sum_us, srtt);
  if (srtt < value->rtt_min_us) value->rtt_min_us = srtt;
  if (srtt > value->rtt_max_us) value->rtt_max_us = srtt;
  return 0;
}

int tcp_retransmit_skb(u64 *ctx) {
  struct value_t *value = value_of(ARGUMENT(ctx, 0));
  if (value) lock_xadd(&value->retransmits, 1);
  return 0;
}
