// TCP health per cgroup and network namespace, direction, service port and destination network.
// Offsets of kernel structs come in as constants (OFF_*), read from BTF when this is compiled.
//
// A socket is remembered with the counters that it had when it was last met: what they have grown since is added
// to the window. Most counts thus stay right where segments are sampled and where an event was missed.

#include "read.h"

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6

#define TIME_ONE_IN 64
enum { SERVED, DIALED };
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_TIME_WAIT = 6, TCP_LISTEN = 10, TCP_NEW_SYN_RECV = 12 };
enum { TCP_CA_OPEN = 0, TCP_CA_RECOVERY = 3 };  // and TCP_CA_Loss beyond it

struct config_t {
  u32 epoch;          // number of the window, from 1: its parity selects the map
  u32 sample_one_in;
};

struct key_t {
  u64 cgroup;
  u64 remote;         // the network's first 6 bytes of IPv6, or 3 of IPv4, in the order of the wire
  u32 network;        // inode of the namespace
  u16 service_port;   // of the listening side
  u8 direction;
  u8 family;
};

// What each segment touches comes first, so that it shares a cache line.
struct value_t {
  u64 rtt_sum_us;
  u64 srtt_sum_us;
  u64 rttvar_sum_us;
  u32 segments;
  u32 samples;
  u32 rtt_min_us;     // 0: none yet
  u32 rtt_max_us;
  u32 retransmits;
  u32 sent;
  u64 delivery_sum;   // bytes per second
  u32 delivery_samples;
  u32 unsent_bytes;
  u32 unread_bytes;
  u32 spurious;
  u32 lost;
  u32 out_of_order;
  u32 resets;
  u32 zero_windows;
  u32 connections;
  u32 congested_connections;
  u32 rtt_buckets[BUCKETS];
};

// With the kernel's own part of an entry (48 bytes and the key) these are 128 bytes: two cache lines.
struct socket_t {
  u32 epoch;          // of the last window that it was counted in; 0: none yet
  u32 segments;
  u32 sent;
  u32 retransmits;
  u32 spurious;
  u32 lost;
  u32 out_of_order;
  u16 congested;
  u16 shut;           // the peer's window was closed
  struct key_t key;
  u32 disordered;     // its last segment was early, or met losses
  u32 unused[3];
};

struct counters_t {
  u64 events;
  u64 map_full;
  u64 timed;
  u64 timed_ns;
};

BPF_HASH(windows_0, struct key_t, struct value_t, MAX_KEYS);
BPF_HASH(windows_1, struct key_t, struct value_t, MAX_KEYS);
BPF_TABLE("lru_hash", u64, struct socket_t, sockets, MAX_SOCKETS);
BPF_ARRAY(config, struct config_t, 1);
BPF_ARRAY(nothing, struct value_t, 1);  // too large for the stack
BPF_PERCPU_ARRAY(counters, struct counters_t, 1);

#ifdef DIRECT
static u64 (*as_tcp)(u64) = (void *)137;  // bpf_skc_to_tcp_sock: 0 for what is no full TCP socket
#define checked_tcp as_tcp
#else
#define as_tcp(sk) (sk)
static __always_inline u64 checked_tcp(u64 sk) {
  if (!sk) return 0;
  u8 state = LOAD(u8, sk, OFF_STATE);
  if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV) return 0;
  u16 protocol = LOAD(u16, sk, OFF_PROTOCOL);
  return protocol == IPPROTO_TCP ? sk : 0;
}
#endif

static __always_inline struct config_t *settings_of(void) {
  u32 zero = 0;
  return config.lookup((int *)&zero);
}

static __always_inline struct counters_t *counters_of(void) {
  u32 zero = 0;
  return counters.lookup((int *)&zero);
}

// What programs cost is timed here, because the kernel's own statistics need SYS_ADMIN and slow all programs down.
static __always_inline u64 begin(void) {
  struct counters_t *here = counters_of();
  if (!here) return 0;
  here->events += 1;
  return here->events % TIME_ONE_IN ? 0 : bpf_ktime_get_ns();
}

static __always_inline int end(u64 since) {
  struct counters_t *here = since ? counters_of() : 0;
  if (!here) return 0;
  here->timed += 1;
  here->timed_ns += bpf_ktime_get_ns() - since;
  return 0;
}

static __always_inline void set_owner(struct key_t *key, u64 sk) {
  u64 cgroup = LOAD(u64, sk, OFF_SOCK_CGROUP);
  u64 node = cgroup ? LOAD(u64, cgroup, OFF_CGROUP_NODE) : 0;
  key->cgroup = node ? LOAD(u64, node, OFF_NODE_ID) : 0;
  u64 network = LOAD(u64, sk, OFF_NET);
  key->network = network ? LOAD(u32, network, OFF_NET_INODE) : 0;
}

// Networks are /24, and /48 with IPv6. IPv4 that is mapped into IPv6 counts as what it is.
static __always_inline void set_remote(struct key_t *key, u64 sk) {
  u32 address;
  u16 family = LOAD(u16, sk, OFF_FAMILY);
  if (family == AF_INET) {
    address = LOAD(u32, sk, OFF_DADDR);
  } else {
    u64 high = LOAD(u64, sk, OFF_V6_DADDR), low = LOAD(u64, sk, OFF_V6_DADDR + 8);
    if (high || (u32)low != 0xffff0000) {
      key->family = AF_INET6;
      key->remote = high & 0xffffffffffff;
      return;
    }
    address = low >> 32;
  }
  key->family = AF_INET;
  key->remote = address & 0xffffff;
}

// Keys are copies of the pointer: older verifiers forget what a variable points to once its address was passed.
static __always_inline struct socket_t *known(u64 tcp) {
  u64 key = tcp;
  return sockets.lookup(&key);
}

static __always_inline void remember(u64 tcp, struct socket_t *socket) {
  u64 key = tcp;
  sockets.update(&key, socket);
}

static __always_inline void forget(u64 tcp) {
  u64 key = tcp;
  sockets.delete(&key);
}

static __always_inline u16 remote_port(u64 sk) {
  u16 port = LOAD(u16, sk, OFF_DPORT);
  return (port >> 8) | (port << 8);
}

static __always_inline void copy_counters(struct socket_t *socket, u64 tcp) {
  socket->segments = LOAD(u32, tcp, OFF_SEGS_IN);
  socket->sent = LOAD(u32, tcp, OFF_SEGS_OUT);
  socket->retransmits = LOAD(u32, tcp, OFF_TOTAL_RETRANS);
  socket->spurious = LOAD(u32, tcp, OFF_DSACK_DUPS);
  socket->lost = LOAD(u32, tcp, OFF_LOST);
  socket->out_of_order = LOAD(u32, tcp, OFF_RCV_OOOPACK);
}

// A socket that is older than this program, or was forgotten. Who listened is not known any more: servers mostly
// do so on the lower port, because clients get theirs from the ephemeral range.
static __always_inline struct socket_t *meet(u64 tcp) {
  struct socket_t *before = known(tcp);
  if (before) return before;
  struct socket_t socket = {};
  u16 local = LOAD(u16, tcp, OFF_NUM), remote = remote_port(tcp);
  set_owner(&socket.key, tcp);
  set_remote(&socket.key, tcp);
  socket.key.direction = local <= remote ? SERVED : DIALED;
  socket.key.service_port = local <= remote ? local : remote;
  copy_counters(&socket, tcp);
  remember(tcp, &socket);
  return known(tcp);
}

static __always_inline struct value_t *window_of(struct key_t *key, struct config_t *settings) {
  u32 zero = 0;
  struct value_t *none = nothing.lookup((int *)&zero);
  if (!none) return 0;
  struct value_t *value;
  if (settings->epoch & 1) value = windows_1.lookup_or_try_init(key, none);
  else value = windows_0.lookup_or_try_init(key, none);
  struct counters_t *here = value ? 0 : counters_of();
  if (here) here->map_full += 1;
  return value;
}

// Counters of a socket that is connected anew start again from 0.
#define GROWN(socket, member, tcp, offset) ({ \
  u32 now_ = LOAD(u32, tcp, offset); \
  s32 grown_ = now_ - (socket)->member; \
  (socket)->member = now_; \
  grown_ > 0 ? grown_ : 0; })

#define ADD(target, amount) ({ if (amount) lock_xadd(&(target), amount); })

// Counters that rarely grow: looked at once per window, and while a connection is out of order.
static __always_inline void look_at_losses(u64 tcp, struct socket_t *socket, struct value_t *value) {
  u32 retransmits = GROWN(socket, retransmits, tcp, OFF_TOTAL_RETRANS);
  u32 spurious = GROWN(socket, spurious, tcp, OFF_DSACK_DUPS);
  u32 lost = GROWN(socket, lost, tcp, OFF_LOST);
  u32 out_of_order = GROWN(socket, out_of_order, tcp, OFF_RCV_OOOPACK);
  ADD(value->retransmits, retransmits);
  ADD(value->spurious, spurious);
  ADD(value->lost, lost);
  ADD(value->out_of_order, out_of_order);
}

static __always_inline struct value_t *look(u64 tcp, struct socket_t *socket, struct config_t *settings, int early) {
  struct value_t *value = window_of(&socket->key, settings);
  if (!value) return 0;
  u32 received = GROWN(socket, segments, tcp, OFF_SEGS_IN);
  u32 sent = GROWN(socket, sent, tcp, OFF_SEGS_OUT);
  ADD(value->segments, received);
  ADD(value->sent, sent);
  u8 state = LOAD(u8, tcp, OFF_CA_STATE);
  state &= 0x1f;
  u16 congested = state >= TCP_CA_RECOVERY;
  u32 disordered = early || state != TCP_CA_OPEN;
  if (disordered || socket->disordered || socket->epoch != settings->epoch) look_at_losses(tcp, socket, value);
  socket->disordered = disordered;
  if (socket->epoch == settings->epoch) {
    if (congested != socket->congested) lock_xadd(&value->congested_connections, congested ? 1 : -1);
  } else if (received || sent || !socket->epoch) {
    lock_xadd(&value->connections, 1);
    ADD(value->congested_connections, congested);
    socket->epoch = settings->epoch;
  }
  socket->congested = congested;
  return value;
}

static __always_inline void look_at_queues(u64 tcp, struct value_t *value, u32 next, u32 received) {
  u32 written = LOAD(u32, tcp, OFF_WRITE_SEQ), read = LOAD(u32, tcp, OFF_COPIED_SEQ);
  s32 unsent = written - next, unread = received - read;
  if (unsent > 0 && unsent > value->unsent_bytes) value->unsent_bytes = unsent;
  if (unread > 0 && unread > value->unread_bytes) value->unread_bytes = unread;
}

static __always_inline u32 bucket_of(u32 duration) {
  if (duration < 4) return duration;
  u32 shift = 0, rest = duration >> 2;
  if (rest >> 16) { shift += 16; rest >>= 16; }
  if (rest >> 8) { shift += 8; rest >>= 8; }
  if (rest >> 4) { shift += 4; rest >>= 4; }
  if (rest >> 2) { shift += 2; rest >>= 2; }
  if (rest >> 1) shift += 1;
  u32 bucket = shift * 4 + (duration >> shift);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

// The newest sample, which the acknowledgement before this one gave: this one is not worked off yet.
static __always_inline void add_round_trip(u64 tcp, struct value_t *value, u32 weight) {
  u32 smoothed = LOAD(u32, tcp, OFF_SRTT);
  smoothed >>= 3;  // the kernel keeps it shifted by 3, and the deviation by 2
  u32 deviation = LOAD(u32, tcp, OFF_MDEV);
  u32 rtt = LOAD(u32, tcp, OFF_RACK_RTT);
  if (!rtt) rtt = smoothed;  // of the handshake alone
  if (!rtt) return;
  lock_xadd(&value->samples, weight);
  lock_xadd(&value->rtt_sum_us, (u64)rtt * weight);
  lock_xadd(&value->srtt_sum_us, (u64)smoothed * weight);
  lock_xadd(&value->rttvar_sum_us, (u64)(deviation >> 2) * weight);
  if (!value->rtt_min_us || rtt < value->rtt_min_us) value->rtt_min_us = rtt;
  if (rtt > value->rtt_max_us) value->rtt_max_us = rtt;
  u64 bucket = bucket_of(rtt);
  asm volatile("" : "+r"(bucket));  // so that the verifier sees the check that follows
  if (bucket < BUCKETS) lock_xadd(&value->rtt_buckets[bucket], weight);
}

// As tcp_info has it (tcpi_delivery_rate).
static __always_inline void add_delivery_rate(u64 tcp, struct value_t *value) {
  u32 interval = LOAD(u32, tcp, OFF_RATE_INTERVAL);
  if (!interval) return;
  u64 packets = LOAD(u32, tcp, OFF_RATE_DELIVERED);
  u64 size = LOAD(u32, tcp, OFF_MSS);
  lock_xadd(&value->delivery_sum, packets * size * 1000000 / interval);
  lock_xadd(&value->delivery_samples, 1);
}

static __always_inline void segment(void *ctx) {
  struct config_t *settings = settings_of();
  if (!settings) return;
  u32 one_in = settings->sample_one_in;
  if (one_in > 1 && bpf_get_prandom_u32() % one_in) return;
  u64 tcp = as_tcp(ARGUMENT(ctx, 0));
  struct socket_t *socket = tcp ? meet(tcp) : 0;
  if (!socket) return;
  u64 skb = ARGUMENT(ctx, 1);
  u32 first = LOAD(u32, skb, OFF_SKB_CB + OFF_SEQ), acknowledged = LOAD(u32, skb, OFF_SKB_CB + OFF_ACK_SEQ);
  u32 received = LOAD(u32, tcp, OFF_RCV_NXT), next = LOAD(u32, tcp, OFF_SND_NXT);
  struct value_t *value = look(tcp, socket, settings, (s32)(first - received) > 0);
  if (!value) return;
  look_at_queues(tcp, value, next, received);
  u16 shut = LOAD(u32, tcp, OFF_SND_WND) == 0;
  if (shut && !socket->shut) lock_xadd(&value->zero_windows, 1);
  socket->shut = shut;
  u32 oldest = LOAD(u32, tcp, OFF_SND_UNA);
  if ((s32)(acknowledged - oldest) <= 0 || (s32)(acknowledged - next) > 0) return;
  add_round_trip(tcp, value, one_in);
  add_delivery_rate(tcp, value);
}

static __always_inline void sent_again(void *ctx) {
  struct config_t *settings = settings_of();
  u64 tcp = as_tcp(ARGUMENT(ctx, 0));
  if (!settings || !tcp) return;
  int met = known(tcp) != 0;
  struct socket_t *socket = meet(tcp);
  if (!socket) return;
#ifndef KPROBE
  // The kernel has counted it already; on entry to its function it has not.
  if (!met) socket->retransmits -= (u16)LOAD(u16, ARGUMENT(ctx, 1), OFF_SKB_CB + OFF_GSO_SEGS);
#endif
  struct value_t *value = look(tcp, socket, settings, 0);
  if (!value) return;
  u32 next = LOAD(u32, tcp, OFF_SND_NXT), received = LOAD(u32, tcp, OFF_RCV_NXT);
  look_at_losses(tcp, socket, value);
  look_at_queues(tcp, value, next, received);
}

// The connection has no socket of its own yet: the listening one stands for it.
static __always_inline void synack(void *ctx) {
  struct config_t *settings = settings_of();
  u64 listener = ARGUMENT(ctx, 0);
  if (!settings) return;
  struct key_t key = {.direction = SERVED};
  key.service_port = LOAD(u16, listener, OFF_NUM);
  set_owner(&key, listener);
  set_remote(&key, ARGUMENT(ctx, 1));
  struct value_t *value = window_of(&key, settings);
  if (value) lock_xadd(&value->retransmits, 1);
}

static __always_inline void reset(u64 sk) {
  struct config_t *settings = settings_of();
  u64 tcp = sk ? checked_tcp(sk) : 0;
  if (!settings || !tcp) return;
  u8 state = LOAD(u8, tcp, OFF_STATE);
  if (state == TCP_LISTEN) return;  // nobody's connection
  struct socket_t *socket = meet(tcp);
  struct value_t *value = socket ? look(tcp, socket, settings, 0) : 0;
  if (value) lock_xadd(&value->resets, 1);
}

// A connection is opened: here one can see by whom.
static __always_inline void opened(void *ctx) {
  u64 tcp = checked_tcp(ARGUMENT(ctx, 0));
  if (!tcp) return;
#ifdef KPROBE
  u8 before = LOAD(u8, tcp, OFF_STATE);
  u32 after = ARGUMENT(ctx, 1);
#else
  u32 before = ARGUMENT(ctx, 1);
  u32 after = ARGUMENT(ctx, 2);
#endif
  struct socket_t socket = {};
  if (after == TCP_SYN_SENT) {
    socket.key.direction = DIALED;
    socket.key.service_port = remote_port(tcp);
  } else if (before == TCP_SYN_RECV && after == TCP_ESTABLISHED) {
    socket.key.direction = SERVED;
    socket.key.service_port = LOAD(u16, tcp, OFF_NUM);
    // Those of the handshake were counted when they were sent.
    socket.retransmits = LOAD(u32, tcp, OFF_TOTAL_RETRANS);
  } else {
    return;
  }
  set_owner(&socket.key, tcp);
  set_remote(&socket.key, tcp);
  remember(tcp, &socket);
}

static __always_inline void closed(void *ctx) {
  struct config_t *settings = settings_of();
  u64 tcp = as_tcp(ARGUMENT(ctx, 0));
  struct socket_t *socket = settings && tcp ? known(tcp) : 0;
  if (!socket) return;
  struct value_t *value = look(tcp, socket, settings, 0);
  if (value) look_at_losses(tcp, socket, value);
  forget(tcp);
}

int segment_received(void *ctx) { u64 since = begin(); segment(ctx); return end(since); }
int segment_sent_again(void *ctx) { u64 since = begin(); sent_again(ctx); return end(since); }
int synack_sent_again(void *ctx) { u64 since = begin(); synack(ctx); return end(since); }
int reset_sent(void *ctx) { u64 since = begin(); reset(ARGUMENT(ctx, 0)); return end(since); }
int reset_received(void *ctx) { u64 since = begin(); reset(ARGUMENT(ctx, 0)); return end(since); }
int state_changed(void *ctx) { u64 since = begin(); opened(ctx); return end(since); }
int socket_destroyed(void *ctx) { u64 since = begin(); closed(ctx); return end(since); }
