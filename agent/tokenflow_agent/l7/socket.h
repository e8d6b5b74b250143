// From a system call to the TCP socket that it was for.

#define FAMILY_IPV4 2
#define FAMILY_IPV6 10
#define PROTOCOL_TCP 6
#define MODE_MASK 0170000
#define MODE_SOCKET 0140000

// Its type is known to TRACING programs, which thus get to the table of its files without a helper.
#ifdef DIRECT
#define CURRENT_TASK() bpf_get_current_task_btf()
#else
#define CURRENT_TASK() bpf_get_current_task()
#endif

static __always_inline int is_tcp(u64 protocol, u64 family) {
  return protocol == PROTOCOL_TCP && (family == FAMILY_IPV4 || family == FAMILY_IPV6);
}

// 0 where the descriptor is no TCP socket.
static __always_inline u64 socket_of(u64 descriptor, int surely_socket) {
  u64 files = LOAD(u64, CURRENT_TASK(), OFF_TASK_FILES);
  u64 table = LOAD(u64, LOAD(u64, files, OFF_FILES_TABLE), OFF_TABLE_FILES);
  u64 file = PROBE(u64, table, (u32)descriptor * 8ULL);
  if (!surely_socket) {
    u16 mode = PROBE(u16, PROBE(u64, file, OFF_FILE_INODE), OFF_INODE_MODE);
    if ((mode & MODE_MASK) != MODE_SOCKET) return 0;
  }
  u64 sk = PROBE(u64, PROBE(u64, file, OFF_FILE_PRIVATE), OFF_SOCKET_SK);
  return is_tcp(PROBE(u16, sk, OFF_SK_PROTOCOL), PROBE(u16, sk, OFF_FAMILY)) ? sk : 0;
}

static __always_inline void locate(u64 sk, u8 role, struct connection *c) {
  c->role = role;
  if (!sk) { c->cgroup = bpf_get_current_cgroup_id(); return; }  // a TLS connection whose socket is not known yet
  c->sk = sk;
  u16 peer = PROBE(u16, sk, OFF_DPORT);
  c->port = role == SERVED ? PROBE(u16, sk, OFF_NUM) : (u16)(peer >> 8 | peer << 8);
  u64 node = PROBE(u64, PROBE(u64, sk, OFF_SOCK_CGROUP), OFF_CGROUP_NODE);
  c->cgroup = node ? PROBE(u64, node, OFF_NODE_ID) : 0;
  c->network = PROBE(u32, PROBE(u64, sk, OFF_NET), OFF_NET_INODE);
}
