// Requests and responses on TCP sockets, as their processes read and write them.
// Only the first bytes of messages go to user space. Offsets of kernel structs come in as constants (OFF_*),
// read from BTF when this is compiled; numbers of system calls (NR_*) are the machine's.

#include "read.h"
#include "histogram.h"
#include "exchange.h"

// bcc knows its maps in this file only; what is included below comes by them through these functions.
BPF_TABLE("lru_hash", u64, struct connection, connections, MAX_CONNECTIONS);
BPF_TABLE("lru_hash", u64, struct exchange, exchanges, MAX_EXCHANGES);
BPF_TABLE("lru_hash", u64, struct stream, streams, MAX_STREAMS);
BPF_ARRAY(blank, struct exchange, 1);
BPF_ARRAY(blank_stream, struct stream, 1);
BPF_PERCPU_ARRAY(text, struct text, 1);
BPF_PERCPU_ARRAY(frames, struct frame, 1);
BPF_PERCPU_ARRAY(gathered, struct gathered, 1);
BPF_ARRAY(counters, u64, COUNTERS);
BPF_ARRAY(wanted, u32, 1);
BPF_TABLE("lru_hash", u64, struct tls_call, tls_calls, MAX_THREADS);  // by thread
BPF_TABLE("lru_hash", u64, u64, tls_threads, MAX_THREADS);            // thread to the socket of its last TLS record
BPF_TABLE("lru_hash", u64, u64, tls_sockets, MAX_CONNECTIONS);        // socket to its TLS connection
BPF_RINGBUF_OUTPUT(records, RING_PAGES);

static __always_inline void count(u32 slot) {
  u64 *counter = counters.lookup((int *)&slot);
  if (counter) lock_xadd(counter, 1);
}

static __always_inline struct exchange *exchange_of(u64 key) { return exchanges.lookup(&key); }
static __always_inline void drop_exchange(u64 key) { exchanges.delete(&key); }

static __always_inline struct exchange *new_exchange(u64 key) {
  u32 zero = 0;
  struct exchange *template = blank.lookup((int *)&zero);
  if (template) exchanges.update(&key, template);
  return exchanges.lookup(&key);
}

static __always_inline struct stream *stream_of(u64 key) { return streams.lookup(&key); }

static __always_inline struct stream *new_stream(u64 key) {
  u32 zero = 0;
  struct stream *template = blank_stream.lookup((int *)&zero);
  if (template) streams.update(&key, template);
  return streams.lookup(&key);
}

static __always_inline struct text *scratch_text(void) {
  u32 zero = 0;
  return text.lookup((int *)&zero);
}

static __always_inline struct frame *scratch_frame(void) {
  u32 zero = 0;
  return frames.lookup((int *)&zero);
}

static __always_inline struct gathered *scratch_gathered(void) {
  u32 zero = 0;
  return gathered.lookup((int *)&zero);
}

static __always_inline void keep_tls_call(u64 thread, struct tls_call *call) { tls_calls.update(&thread, call); }

static __always_inline void send(void *record, u64 length) {
  count(COUNT_RECORDS);
  if (records.ringbuf_output(record, length, NO_WAKEUP)) count(COUNT_RING_FULL);
}

#include "socket.h"
#include "life.h"
#include "stream.h"
#include "http1.h"
#include "http2.h"
#include "sql.h"
#include "tls.h"

#define TCP_CLOSE 7
#define PEEK 2

enum { PLAIN, VECTOR, MESSAGE, FILE_BYTES };

static __always_inline u8 protocol_of(struct call *call, const u8 *first, u32 asked) {
  if (asked & (call->tls ? WANT_TLS : WANT_HTTP)) {
    if (starts_http2(first)) return HTTP2;
    if (starts_http1(first)) return HTTP1;
  }
  if (!(asked & WANT_SQL)) return 0;
  if (starts_postgresql(call, first)) return POSTGRESQL;
  return starts_mysql(call, first) || greets_mysql(call, first) ? MYSQL : 0;
}

static __always_inline struct connection *open_connection(struct call *call, const u8 *first) {
  u32 zero = 0;
  u32 *asked = wanted.lookup((int *)&zero);
  if (!asked) return 0;
  struct connection fresh = {.tls = call->tls, .protocol = protocol_of(call, first, *asked)};
  if (!fresh.protocol) {
    u64 thread = bpf_get_current_pid_tgid();
    if (!call->tls && *asked & WANT_TLS && (is_tls_record(first) || tls_threads.lookup(&thread)))
      tls_threads.update(&thread, &call->sk);
    return 0;
  }
  int from_server = fresh.protocol == MYSQL && first[4] == GREETING;
  locate(call->sk, call->out != from_server ? DIALED : SERVED, &fresh);
  if (fresh.protocol == HTTP2) {
    fresh.sides[call->out & 1].skip = PREFACE_BYTES;
    fresh.sides[call->out & 1].in_payload = 1;
  }
  connections.update(&call->key, &fresh);
  count(COUNT_OPENED);
  return connections.lookup(&call->key);
}

static __always_inline void moved(struct call *call) {
  u64 now = bpf_ktime_get_ns();
  u8 first[16] = {};
  u64 known = call->head_length;
  BOUND(known, sizeof(first));
  bpf_probe_read_user(first, known, (void *)call->head);
  struct connection *c = connections.lookup(&call->key);
  if (!c) c = open_connection(call, first);
  if (!c) return;
  // What a thread reads from a TLS connection it has just read from its socket.
  if (call->tls && call->sk && (!call->out || !c->sk) && c->sk != call->sk) {
    locate(call->sk, c->role, c);
    tls_sockets.update(&call->sk, &call->key);
  }
  if (c->protocol == HTTP1) http1(call, c, first, now);
  else if (c->protocol == HTTP2) http2(call, c, now);
  else if (c->protocol == POSTGRESQL || c->protocol == MYSQL) sql(call, c, first, now);
}

static __always_inline void gather(u64 pieces, u64 amount, struct call *call) {
  struct piece piece = {};
  bpf_probe_read_user(&piece, sizeof(piece), (void *)pieces);
  call->head = piece.base;
  call->head_length = piece.length < call->total ? piece.length : call->total;
  call->end = piece.base + call->head_length;
  if (call->head_length == call->total) return;
  call->vector = pieces;
  call->pieces = amount < MOST_PIECES ? amount : MOST_PIECES;
  bpf_probe_read_user(&piece, sizeof(piece), (void *)(pieces + (amount - 1) * sizeof(piece)));
  call->end = piece.base + piece.length;
}

int sys_exit(u64 *ctx) {
  s64 total = ARGUMENT(ctx, 1);
  if (total <= 0) return 0;
  u64 registers = ARGUMENT(ctx, 0);
  struct call call = {.total = total};
  int form = PLAIN, surely_socket = 0;
  u64 flags = 0;
  switch ((u32)LOAD(u64, registers, OFF_CALL_NUMBER)) {
    case NR_WRITE: call.out = 1;
    case NR_READ: break;
    case NR_WRITEV: call.out = 1;
    case NR_READV: form = VECTOR; break;
    case NR_SENDTO: call.out = surely_socket = 1; break;
    case NR_RECVFROM: surely_socket = 1; flags = LOAD(u64, registers, OFF_ARGUMENT_3); break;
    case NR_SENDMSG: call.out = surely_socket = 1; form = MESSAGE; break;
    case NR_RECVMSG: surely_socket = 1; form = MESSAGE; flags = LOAD(u64, registers, OFF_ARGUMENT_2); break;
    case NR_SENDFILE: call.out = 1; form = FILE_BYTES; break;
    default: return 0;
  }
  if (flags & PEEK) return 0;
  call.sk = socket_of(LOAD(u64, registers, OFF_ARGUMENT_0), surely_socket);
  if (!call.sk) return 0;
  call.key = call.sk;
  u64 argument = LOAD(u64, registers, OFF_ARGUMENT_1);
  if (form == PLAIN) {
    call.head = argument;
    call.head_length = total;
    call.end = argument + total;
  } else if (form == VECTOR) {
    gather(argument, LOAD(u64, registers, OFF_ARGUMENT_2), &call);
  } else if (form == MESSAGE) {
    struct message message = {};
    bpf_probe_read_user(&message, sizeof(message), (void *)argument);
    gather(message.pieces, message.count, &call);
  }
  moved(&call);
  return 0;
}

static __always_inline void over(u64 key) {
  struct connection *c = connections.lookup(&key);
  if (!c) return;
  int complete = c->phase != REQUEST && c->framing == UNTIL_NEXT;
  if (c->phase == REQUEST) c->last_ns = bpf_ktime_get_ns();
  if (c->protocol == HTTP2) { c->last_ns = bpf_ktime_get_ns(); tell(key, c, CLOSED, 1); }
  else if (c->phase == STREAM) end_stream(key, c, complete);
  else if (c->phase != IDLE) finish(key, c, EXCHANGE, complete);
  if (!connections.delete(&key)) count(COUNT_CLOSED);
}

// A connection is over when its socket closes, by whichever end and for whatever reason.
int inet_sock_set_state(u64 *ctx) {
  if ((u32)ARGUMENT(ctx, 2) != TCP_CLOSE) return 0;
  u64 sk = ARGUMENT(ctx, 0);
  u64 *within = tls_sockets.lookup(&sk);
  u64 key = within ? *within : sk;
  if (within) tls_sockets.delete(&sk);
  over(key);
  return 0;
}

int tls_read(u64 *ctx) { enter_tls(ctx, 0, 0); return 0; }
int tls_write(u64 *ctx) { enter_tls(ctx, 1, 0); return 0; }
int tls_read_ex(u64 *ctx) { enter_tls(ctx, 0, 1); return 0; }
int tls_write_ex(u64 *ctx) { enter_tls(ctx, 1, 1); return 0; }

int tls_return(u64 *ctx) {
  u64 thread = bpf_get_current_pid_tgid();
  struct tls_call *entered = tls_calls.lookup(&thread);
  if (!entered) return 0;
  u64 *sk = tls_threads.lookup(&thread);
  struct call call = {.sk = sk ? *sk : 0};
  int any = leave_tls(ctx, entered, &call);
  tls_calls.delete(&thread);
  if (any) moved(&call);
  return 0;
}

int tls_free(u64 *ctx) {
  over(tls_key(REGISTER(ctx, OFF_PARAMETER_0)));
  return 0;
}
