// TCP health per pod, direction, service port and destination class.
// Offsets of kernel structs come in as constants (OFF_*), read from BTF when this is compiled.

#define AF_INET 2
#define AF_INET6 10
#define __always_inline inline __attribute__((always_inline))

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

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), (const void *)(from))

static __always_inline u64 cgroup_of(const char *sk) {
  const char *cgroup = 0, *node = 0;
  u64 id = 0;
  READ(cgroup, sk + OFF_SOCK_CGROUP);
  if (cgroup) READ(node, cgroup + OFF_CGROUP_NODE);
  if (node) READ(id, node + OFF_NODE_ID);
  return id;
}

static __always_inline void clear_host_bits(u8 *remote) {
  int mapped = remote[10] == 0xff && remote[11] == 0xff;
#pragma unroll
  for (int i = 0; i < 10; i++) mapped = mapped && remote[i] == 0;
  if (mapped) { remote[15] = 0; return; }
#pragma unroll
  for (int i = 6; i < 16; i++) remote[i] = 0;
}

static __always_inline struct value_t *value_of(const char *sk) {
  struct key_t key = {};
  u16 family = 0, local = 0, peer = 0;
  u32 zero = 0;
  u32 event_slot = COUNT_EVENTS, full_slot = COUNT_MAP_FULL;
  u64 *count = counters.lookup((int *)&event_slot);
  if (count) lock_xadd(count, 1);
  READ(family, sk + OFF_FAMILY);
  if (family == AF_INET) {
    key.remote[10] = key.remote[11] = 0xff;
    bpf_probe_read_kernel(&key.remote[12], 4, sk + OFF_DADDR);
  } else if (family == AF_INET6) {
    bpf_probe_read_kernel(key.remote, 16, sk + OFF_V6_DADDR);
  } else {
    return 0;
  }
  clear_host_bits(key.remote);
  READ(local, sk + OFF_NUM);
  READ(peer, sk + OFF_DPORT);
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

RAW_TRACEPOINT_PROBE(tcp_probe) {
  const char *sk = (const char *)ctx->args[0];
  struct value_t *value = value_of(sk);
  if (!value) return 0;
  u32 srtt = 0;
  READ(srtt, sk + OFF_SRTT);
  srtt >>= 3;  // the kernel keeps it shifted by 3
  if (!srtt) return 0;  // not measured yet: a zero would become the path's minimum
  lock_xadd(&value->segments, 1);
  lock_xadd(&value->rtt_sum_us, srtt);
  if (srtt < value->rtt_min_us) value->rtt_min_us = srtt;
  if (srtt > value->rtt_max_us) value->rtt_max_us = srtt;
  return 0;
}

RAW_TRACEPOINT_PROBE(tcp_retransmit_skb) {
  struct value_t *value = value_of((const char *)ctx->args[0]);
  if (value) lock_xadd(&value->retransmits, 1);
  return 0;
}
