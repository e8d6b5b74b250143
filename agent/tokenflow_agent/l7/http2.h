// HTTP/2 (RFC 9113): which frames user space must see. Header blocks go there whole, for their compression has a
// memory; of data only that it ends a stream. Addresses are of the process or of the kernel: bpf_probe_read
// takes both, where the two do not overlap, as on x86-64 and arm64. Times are those of the read or write that a frame began in.

#define PREFACE_BYTES 24
#define FRAME_HEAD_BYTES 9
#define FRAME_BYTES 2048     // of one piece of a frame
#define STEPS_AT_ONCE 6     // a frame takes one or two
#define MOST_PIECES 64
#define END_STREAM 1

enum { DATA, HEADERS, RST_STREAM = 3, PUSH_PROMISE = 5, CONTINUATION = 9 };

// The first bytes of the preface.
static __always_inline int starts_http2(const u8 *first) {
  return *(u64 *)first == WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T') &&
         *(u64 *)(first + 8) == WORD('T', 'P', '/', '2', '.', '0', '\r', '\n');
}

static __always_inline int is_wanted_frame(u8 type, u8 flags) {
  return type == HEADERS || type == CONTINUATION || type == PUSH_PROMISE || type == RST_STREAM ||
         (type == DATA && flags & END_STREAM);
}

// Sends what has come of a frame: its head where this is the first piece, and of its payload what is there.
static __always_inline void send_piece(struct call *call, struct connection *c, struct side *side, u64 length) {
  struct frame *frame = scratch_frame();
  if (!frame) return;
  c->started_ns = call->now;
  c->first_ns++;  // how many pieces there were: what is missing shows
  describe(&frame->record, call->key, c, FRAMES, length <= FRAME_BYTES);
  frame->record.from_server = call->out == (c->role == SERVED);
  __builtin_memcpy(frame->bytes, side->head, FRAME_HEAD_BYTES);
  u64 before = side->fresh ? FRAME_HEAD_BYTES : 0, known = length;
  BOUND(known, FRAME_BYTES);
  if (bpf_probe_read(frame->bytes + before, known, (void *)side->at)) frame->record.complete = 0;
  known += before;
  frame->record.request_length = known;
  frame->record.response_length = 0;
  BOUND(known, FRAME_HEAD_BYTES + FRAME_BYTES);
  send(&frame->record, sizeof(struct record) + known);
}

static __always_inline u64 least(u64 one, u64 other) { return one < other ? one : other; }

// Goes on in the next piece of memory. Tells whether there is one.
static __always_inline int next_piece(struct call *call, struct side *side) {
  struct piece piece = {};
  if (!side->rest || side->next >= call->pieces) return 0;
  if (bpf_probe_read(&piece, sizeof(piece), (void *)(call->vector + side->next * sizeof(piece)))) return 0;
  side->next++;
  side->at = piece.base;
  side->left = least(piece.length, side->rest);
  side->rest -= side->left;
  return 1;
}

static __always_inline void frame_head(struct side *side) {
  u64 held = side->held;
  BOUND(held, FRAME_HEAD_BYTES - 1);
  u64 taken = least(FRAME_HEAD_BYTES - held, side->left);
  BOUND(taken, FRAME_HEAD_BYTES);
  bpf_probe_read(side->head + held, taken, (void *)side->at);
  side->at += taken;
  side->left -= taken;
  side->held = held + taken;
  if (side->held < FRAME_HEAD_BYTES) return;
  side->held = 0;
  side->in_payload = side->fresh = 1;
  side->skip = (u32)side->head[0] << 16 | side->head[1] << 8 | side->head[2];
  side->wanted = is_wanted_frame(side->head[3], side->head[4]);
}

static __always_inline void frame_payload(struct call *call, struct connection *c, struct side *side) {
  u64 passed = least(side->skip, side->left);
  if (side->wanted) send_piece(call, c, side, side->head[3] == DATA ? 0 : passed);
  if (side->head[3] == DATA) side->wanted = 0;
  side->fresh = 0;
  side->skip -= passed;
  side->at += passed;
  side->left -= passed;
  side->in_payload = side->skip != 0;
}

// gRPC writes each header in pieces of its own: the small ones at the front are made one.
static __always_inline void gather_pieces(struct call *call, struct side *side) {
  struct gathered *gathered = scratch_gathered();
  if (!gathered) return;
  side->at = (u64)gathered->bytes;
  side->left = side->next = 0;
#pragma clang loop unroll(disable)
  for (u64 number = 0; number < MOST_PIECES; number++) {
    asm volatile("" : "+r"(number) : : "memory");
    struct piece piece = {};
    u64 filled = side->left;
    if (number >= call->pieces || filled >= GATHERED_BYTES || filled >= call->total) break;
    bpf_probe_read(&piece, sizeof(piece), (void *)(call->vector + number * sizeof(piece)));
    u64 length = least(piece.length, call->total - filled);
    if (length > PIECE_BYTES) break;
    BOUND(length, PIECE_BYTES);
    BOUND(filled, GATHERED_BYTES);
    bpf_probe_read(gathered->bytes + filled, length, (void *)piece.base);
    side->left += length;
    side->next = number + 1;
  }
  side->rest = call->total - side->left;
}

static __always_inline void enter(struct call *call, struct side *side) {
  call->entered = 1;
  side->at = call->head;
  side->left = call->head_length;
  side->rest = call->total - call->head_length;
  side->next = 1;
  if (call->pieces > 1) gather_pieces(call, side);
}

// Takes some steps through what was read or written; tells whether there are more to take. Where it is in the data is
// kept in the map: in registers, each way through a frame would be a state of its own to the verifier.
static __always_inline int http2(struct call *call, struct connection *c) {
  struct side *side = &c->sides[call->out & 1];
  if (!call->entered) enter(call, side);
#pragma clang loop unroll(disable)
  for (u32 step = 0; step < STEPS_AT_ONCE; step++) {
    if (side->in_payload && (side->left || !side->skip)) frame_payload(call, c, side);
    else if (side->left) frame_head(side);
    else if (!next_piece(call, side)) return 0;
  }
  return 1;
}
