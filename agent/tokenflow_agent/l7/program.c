// Requests and responses on TCP sockets, as their processes read and write them.
// Only the first bytes of messages go to user space. Offsets of kernel structs come in as constants (OFF_*),
// read from BTF when this is compiled; numbers of system calls (NR_*) are the machine's.

#include "read.h"
#include "histogram.h"
#include "cost.h"
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
BPF_PERCPU_ARRAY(counters, struct counters, 1);
BPF_PERCPU_ARRAY(calls, struct call, 1);
BPF_PROG_ARRAY(steps, STEPS);
BPF_PROG_ARRAY(tls_steps, STEPS);  // the kernel wants the programs of a table to be of one type
BPF_ARRAY(wanted, u32, 1);
BPF_TABLE("lru_hash", u64, struct tls_call, tls_calls, MAX_THREADS);  // by thread
BPF_TABLE("lru_hash", u64, u64, tls_threads, MAX_THREADS);            // thread to the socket of its last TLS record
BPF_TABLE("lru_hash", u64, u64, tls_sockets, MAX_CONNECTIONS);        // socket to its TLS connection
BPF_RINGBUF_OUTPUT(records, RING_BYTES / 4096);

static __always_inline struct counters *counters_here(void) {
  u32 zero = 0;
  return counters.lookup((int *)&zero);
}

#define count(member) ({ \
  struct counters *here_ = counters_here(); \
  if (here_) lock_xadd(&here_->member, 1); })

static __always_inline u64 cost_began(void) {
  struct counters *here = counters_here();
  return here ? cost_begin(&here->cost) : 0;
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
static __always_inline void drop_stream(u64 key) { streams.delete(&key); }

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
  count(records);
  if (records.ringbuf_output(record, length, 0)) count(ring_full);
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

static __always_inline u8 protocol_of(struct call *call, u32 asked) {
  const u8 *first = call->first;
  if (asked & (call->tls ? WANT_TLS : WANT_HTTP)) {
    if (starts_http2(first)) return HTTP2;
    if (starts_http1(first)) return HTTP1;
  }
  if (!(asked & WANT_SQL)) return 0;
  if (starts_postgresql(call, first)) return POSTGRESQL;
  return starts_mysql(call, first) || greets_mysql(call, first) ? MYSQL : 0;
}

static __always_inline struct connection *open_connection(struct call *call) {
  u32 zero = 0;
  u32 *asked = wanted.lookup((int *)&zero);
  if (!asked) return 0;
  struct connection fresh = {.tls = call->tls, .protocol = protocol_of(call, *asked)};
  if (!fresh.protocol) {
    u64 thread = bpf_get_current_pid_tgid();
    if (!call->tls && *asked & WANT_TLS && (is_tls_record(call->first) || tls_threads.lookup(&thread)))
      tls_threads.update(&thread, &call->sk);
    return 0;
  }
  int from_server = fresh.protocol == MYSQL && call->first[4] == GREETING;
  locate(call->sk, call->out != from_server ? DIALED : SERVED, &fresh);
  if (fresh.protocol == HTTP2) {
    fresh.sides[call->out & 1].skip = PREFACE_BYTES;
    fresh.sides[call->out & 1].in_payload = 1;
  }
  connections.update(&call->key, &fresh);
  count(opened);
  return connections.lookup(&call->key);
}

// Returns the step that goes on with a call; 0 where it is nothing to look at.
static __always_inline u32 moved(struct call *call) {
  struct connection *c = connections.lookup(&call->key);
  if (c && c->protocol == IGNORED) return 0;
  call->now = bpf_ktime_get_ns();
  u64 known = call->head_length;
  BOUND(known, sizeof(call->first));
  bpf_probe_read_user(call->first, known, (void *)call->head);
  if (!c) c = open_connection(call);
  if (!c) return 0;
  // What a thread reads from a TLS connection it has just read from its socket.
  if (call->tls && call->sk && (!call->out || !c->sk) && c->sk != call->sk) {
    locate(call->sk, c->role, c);
    tls_sockets.update(&call->sk, &call->key);
  }
  return c->protocol;
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

// The steps are programs of their own: the verifier would take too long over all of them in one. What is known of a
// call in a TLS library belongs to its thread, because the thread may lose its processor to another one.
static __always_inline struct call *call_here(void) {
  u32 zero = 0;
  return calls.lookup((int *)&zero);
}

static __always_inline struct call *tls_call_here(void) {
  u64 thread = bpf_get_current_pid_tgid();
  struct tls_call *left = tls_calls.lookup(&thread);
  return left ? &left->call : 0;
}

static __always_inline struct connection *connection_of(struct call *call) {
  u64 key = call->key;
  return connections.lookup(&key);
}

static __always_inline int done(struct call *call) {
  struct counters *here = call->since ? counters_here() : 0;
  if (here) cost_end(&here->cost, call->since);
  return 0;
}

// What comes next on the connection is not known any more.
static __always_inline int lose(struct call *call) {
  struct connection *c = connection_of(call);
  if (c) {
    tell(call->key, c, LOST, 0);
    ignore(call->key, c);
  }
  return done(call);
}

// Goes on with a step, unless it is 0; comes back from there only if these were too many.
static __always_inline int go_on(u64 *ctx, struct call *call, u32 step) {
  if (!step) return done(call);
  steps.call(ctx, step);
  return lose(call);
}

static __always_inline int tls_go_on(u64 *ctx, struct call *call, u32 step) {
  if (!step) return done(call);
  tls_steps.call(ctx, step);
  return lose(call);
}

// Fills in what a system call has moved to or from the socket of its descriptor; 0 where it moved nothing. Where a socket
// is given, it must be that one: the kernel moves data of others within a call, too, for a file that is on the network.
static __always_inline int moved_by(u64 registers, u64 sk, struct call *call) {
  int form = PLAIN, surely_socket = 0;
  u64 flags = 0;
  switch ((u32)LOAD(u64, registers, OFF_CALL_NUMBER)) {
    case NR_WRITE: call->out = 1;
    case NR_READ: break;
    case NR_WRITEV: call->out = 1;
    case NR_READV: form = VECTOR; break;
    case NR_SENDTO: call->out = surely_socket = 1; break;
    case NR_RECVFROM: surely_socket = 1; flags = LOAD(u64, registers, OFF_ARGUMENT_3); break;
    case NR_SENDMSG: call->out = surely_socket = 1; form = MESSAGE; break;
    case NR_RECVMSG: surely_socket = 1; form = MESSAGE; flags = LOAD(u64, registers, OFF_ARGUMENT_2); break;
    case NR_SENDFILE: call->out = 1; form = FILE_BYTES; break;
    default: return 0;
  }
  if (flags & PEEK) return 0;
  call->since = cost_began();
  u64 own = socket_of(LOAD(u64, registers, OFF_ARGUMENT_0), surely_socket);
  if (!own || (sk && own != sk)) return 0;
  call->key = call->sk = own;
  u64 argument = LOAD(u64, registers, OFF_ARGUMENT_1);
  if (form == PLAIN) {
    call->head = argument;
    call->head_length = call->total;
    call->end = argument + call->total;
  } else if (form == VECTOR) {
    gather(argument, LOAD(u64, registers, OFF_ARGUMENT_2), call);
  } else if (form == MESSAGE) {
    struct message message = {};
    bpf_probe_read_user(&message, sizeof(message), (void *)argument);
    gather(message.pieces, message.count, call);
  }
  return 1;
}

static __always_inline int system_call(u64 *ctx, u64 registers, u64 sk, s64 total) {
  struct call call = {.total = total};
  u32 step = moved_by(registers, sk, &call) ? moved(&call) : 0;
  u32 zero = 0;
  if (step) calls.update((int *)&zero, &call);
  return go_on(ctx, &call, step);
}

#ifdef SOCKETS
static u64 (*registers_of)(u64) = (void *)175;  // bpf_task_pt_regs

// Of a socket that data was moved to or from, by the system call that the task is in.
static __always_inline int socket_call(u64 *ctx) {
  u64 sk = ARGUMENT(ctx, 0);
  s32 total = ARGUMENT(ctx, 1);
  if (total <= 0 || !sk || !is_tcp(LOAD(u16, sk, OFF_SK_PROTOCOL), LOAD(u16, sk, OFF_FAMILY))) return 0;
  return system_call(ctx, registers_of(CURRENT_TASK()), sk, total);
}

int sock_send_length(u64 *ctx) { return socket_call(ctx); }
int sock_recv_length(u64 *ctx) { return socket_call(ctx); }
#else
int sys_exit(u64 *ctx) {
  s64 total = ARGUMENT(ctx, 1);
  return total > 0 ? system_call(ctx, ARGUMENT(ctx, 0), 0, total) : 0;
}
#endif

static __always_inline void over(u64 key) {
  struct connection *c = connections.lookup(&key);
  if (!c) return;
  int complete = c->phase != REQUEST && c->framing == UNTIL_NEXT;
  if (c->phase == REQUEST) c->last_ns = bpf_ktime_get_ns();
  if (c->protocol == HTTP2) { c->last_ns = bpf_ktime_get_ns(); tell(key, c, CLOSED, 1); }
  else if (c->phase == STREAM) end_stream(key, c, complete);
  else if (c->phase != IDLE) finish(key, c, EXCHANGE, complete);
  if (!connections.delete(&key)) count(closed);
}

// A connection is over when its socket closes, by whichever end and for whatever reason.
int inet_sock_set_state(u64 *ctx) {
  if ((u32)ARGUMENT(ctx, 2) != TCP_CLOSE) return 0;
  struct call call = {.sk = ARGUMENT(ctx, 0), .since = cost_began()};
  u64 sk = call.sk;
  u64 *within = tls_sockets.lookup(&sk);
  u64 key = within ? *within : sk;
  if (within) tls_sockets.delete(&sk);
  over(key);
  return done(&call);
}

int tls_read(u64 *ctx) { enter_tls(ctx, 0, 0); return 0; }
int tls_write(u64 *ctx) { enter_tls(ctx, 1, 0); return 0; }
int tls_read_ex(u64 *ctx) { enter_tls(ctx, 0, 1); return 0; }
int tls_write_ex(u64 *ctx) { enter_tls(ctx, 1, 1); return 0; }

int tls_return(u64 *ctx) {
  u64 thread = bpf_get_current_pid_tgid();
  struct tls_call *entered = tls_calls.lookup(&thread);
  if (!entered || !entered->ssl) return 0;
  u64 *sk = tls_threads.lookup(&thread);
  struct call call = {.sk = sk ? *sk : 0, .since = cost_began()};
  u32 step = leave_tls(ctx, entered, &call) ? moved(&call) : 0;
  entered->ssl = 0;
  if (step) entered->call = call;
  return tls_go_on(ctx, &call, step);
}

int tls_free(u64 *ctx) {
  over(tls_key(REGISTER(ctx, OFF_PARAMETER_0)));
  return 0;
}


static __always_inline u32 http1_of(struct call *call) {
  struct connection *c = connection_of(call);
  return c ? http1(call, c) : 0;
}

static __always_inline u32 head_of(struct call *call) {
  struct connection *c = connection_of(call);
  return c ? http1_head(call, c) : 0;
}

static __always_inline u32 events_of(struct call *call) {
  struct connection *c = connection_of(call);
  if (c) events(call, c);
  return 0;
}

static __always_inline u32 http2_of(struct call *call) {
  struct connection *c = connection_of(call);
  return c && http2(call, c) ? HTTP2 : 0;
}

static __always_inline u32 sql_of(struct call *call) {
  struct connection *c = connection_of(call);
  if (c) sql(call, c);
  return 0;
}

#define STEP(of, here, on) ({ \
  struct call *call = here(); \
  call ? on(ctx, call, of(call)) : 0; })

int http1_step(u64 *ctx) { return STEP(http1_of, call_here, go_on); }
int head_step(u64 *ctx) { return STEP(head_of, call_here, go_on); }
int events_step(u64 *ctx) { return STEP(events_of, call_here, go_on); }
int http2_step(u64 *ctx) { return STEP(http2_of, call_here, go_on); }
int sql_step(u64 *ctx) { return STEP(sql_of, call_here, go_on); }

int tls_http1_step(u64 *ctx) { return STEP(http1_of, tls_call_here, tls_go_on); }
int tls_head_step(u64 *ctx) { return STEP(head_of, tls_call_here, tls_go_on); }
int tls_events_step(u64 *ctx) { return STEP(events_of, tls_call_here, tls_go_on); }
int tls_http2_step(u64 *ctx) { return STEP(http2_of, tls_call_here, tls_go_on); }
