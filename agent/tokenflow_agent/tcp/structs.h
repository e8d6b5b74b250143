// What is kept in maps. The agent reads config_t, key_t, value_t and counters_t: layout.py has their formats.

enum { SERVED, DIALED };

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
  struct cost cost;
  u64 map_full;
};
