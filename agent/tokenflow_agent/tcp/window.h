// What is added to a window.

#include "histogram.h"

enum { TCP_CA_OPEN = 0, TCP_CA_RECOVERY = 3 };  // and TCP_CA_Loss beyond it

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

static __always_inline void look_at_queues(u64 tcp, struct value_t *value, u32 next, u32 received) {
  u32 written = LOAD(u32, tcp, OFF_WRITE_SEQ), read = LOAD(u32, tcp, OFF_COPIED_SEQ);
  s32 unsent = written - next, unread = received - read;
  if (unsent > 0 && unsent > value->unsent_bytes) value->unsent_bytes = unsent;
  if (unread > 0 && unread > value->unread_bytes) value->unread_bytes = unread;
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
