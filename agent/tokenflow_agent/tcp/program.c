// TCP health per cgroup and network namespace, direction, service port and destination network.
// Offsets of kernel structs come in as constants (OFF_*), read from BTF when this is compiled.
//
// A socket is remembered with the counters that it had when it was last met: what they have grown since is added
// to the window. Most counts thus stay right where segments are sampled and where an event was missed.

#include "read.h"
#include "cost.h"
#include "structs.h"
#include "socket.h"
#include "window.h"

BPF_HASH(windows_0, struct key_t, struct value_t, MAX_KEYS);
BPF_HASH(windows_1, struct key_t, struct value_t, MAX_KEYS);
BPF_TABLE("lru_hash", u64, struct socket_t, sockets, MAX_SOCKETS);
BPF_ARRAY(config, struct config_t, 1);
BPF_ARRAY(nothing, struct value_t, 1);  // too large for the stack
BPF_PERCPU_ARRAY(counters, struct counters_t, 1);

static __always_inline struct config_t *settings_of(void) {
  u32 zero = 0;
  return config.lookup((int *)&zero);
}

static __always_inline struct counters_t *counters_of(void) {
  u32 zero = 0;
  return counters.lookup((int *)&zero);
}

static __always_inline u64 begin(void) {
  struct counters_t *here = counters_of();
  return here ? cost_begin(&here->cost) : 0;
}

static __always_inline int end(u64 since) {
  struct counters_t *here = since ? counters_of() : 0;
  if (here) cost_end(&here->cost, since);
  return 0;
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
