// What a socket says of itself.

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_TIME_WAIT = 6, TCP_LISTEN = 10, TCP_NEW_SYN_RECV = 12 };

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
