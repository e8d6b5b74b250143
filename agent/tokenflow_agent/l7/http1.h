// HTTP/1.x: where an exchange begins and ends. RFC 9112; all but the framing is left to user space.

#define LOWER_CASE 0x2020202020202020ULL
#define WORD(a, b, c, d, e, f, g, h) \
  ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | (u64)(g) << 48 | (u64)(h) << 56)
#define CRLF 0x0a0d

// A method, a space, and a target: "/path", "*" or "http://…".
static __always_inline int starts_http1(const u8 *first) {
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < 12; i++) {
    if (first[i] == ' ') return i >= 3 && (first[i + 1] == '/' || first[i + 1] == '*' || first[i + 1] == 'h');
    if (first[i] < 'A' || first[i] > 'Z') return 0;
  }
  return 0;
}

// The last chunk and the end of its trailers, where there are none.
static __always_inline int ends_chunked(struct call *call) {
  u8 last[5] = {};
  return last_bytes(call, last, 5) && last[0] == '0' && last[1] == '\r' && last[2] == '\n' && last[3] == '\r' && last[4] == '\n';
}

// What is found is kept in the map: in registers, every place where it can be found would be one more state to the
// verifier.
static __always_inline void scan_head(struct head *head, const u8 *response, u32 length) {
#pragma clang loop unroll(disable)
  for (u32 i = 8; i < RESPONSE_BYTES; i++) {
    if (i + 4 > length) break;
    const u8 *at = response + i;
    if (*(u16 *)at != CRLF) continue;
    if (*(u16 *)(at + 2) == CRLF) { head->end = i + 4; break; }
    u64 name = *(u64 *)(at + 2) | LOWER_CASE;
    u64 rest = *(u64 *)(at + 10) | LOWER_CASE;
    if (name == WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) head->chunked = 1;
    if (name != WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-')) continue;
    if ((rest & 0xffffffffffffffULL) == WORD('l', 'e', 'n', 'g', 't', 'h', ':', 0)) head->length_at = i + 17;
    if ((rest & 0xffffffffffULL) != WORD('t', 'y', 'p', 'e', ':', 0, 0, 0)) continue;
    u64 value = WORD('t', 'e', 'x', 't', '/' , 'e', 'v', 'e');
    if ((*(u64 *)(at + 15) | LOWER_CASE) == value || (*(u64 *)(at + 16) | LOWER_CASE) == value) head->events = 1;
  }
}

static __always_inline void read_length(struct connection *c, const u8 *response, u64 at) {
  c->remaining = 0;
  BOUND(at, RESPONSE_BYTES - 1);
  const u8 *digits = response + at;
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < 14; i++) {
    u8 digit = digits[i];
    if (digit == ' ' && !c->remaining) continue;
    if (digit < '0' || digit > '9') break;
    c->remaining = c->remaining * 10 + (digit - '0');
    asm volatile("" : : : "memory");
  }
}

enum { GOES_ON, OVER, STREAMS, SWITCHES };

// Bytes of a response behind the first "skipped" ones, its head's. Tells whether it is over with them.
static __always_inline int http1_body(struct call *call, struct connection *c, u32 skipped, u64 now) {
  c->last_ns = now;
  if (c->framing == CHUNKED) return call->total > skipped && ends_chunked(call) ? OVER : GOES_ON;
  if (c->framing != BY_LENGTH) return GOES_ON;
  c->remaining -= call->total;
  return c->remaining <= 0 ? OVER : GOES_ON;
}

// The first bytes of a response. Tells whether it is over with them, a stream of events, or the last one.
static __always_inline int http1_response(struct call *call, struct connection *c, struct exchange *e, u64 now) {
  u8 *response = respond(call, c, e, RESPONSE_BYTES, now);
  if (response[9] == '1' && response[11] != '1') return GOES_ON;  // interim: the final one follows
  u32 length = e->record.response_length;
  BOUND(length, RESPONSE_BYTES);
  struct head *head = &e->head;
  scan_head(head, response, length);
  if (head->end) e->record.response_length = head->end;
  c->phase = RESPONSE;
  c->framing = UNTIL_NEXT;
  if (response[9] == '1') return SWITCHES;
  if (!head->end) return GOES_ON;
  int to_head = e->bytes[0] == 'H' && e->bytes[1] == 'E' && e->bytes[2] == 'A' && e->bytes[3] == 'D';
  int empty = (response[9] == '2' && response[11] == '4') || (response[9] == '3' && response[11] == '4');
  if (to_head || empty) return OVER;
  if (head->chunked) {
    c->framing = CHUNKED;
  } else if (head->length_at) {
    c->framing = BY_LENGTH;
    read_length(c, response, head->length_at);
    c->remaining += head->end;
  }
  return head->events ? STREAMS : http1_body(call, c, head->end, now);
}

static __always_inline void http1_request(struct call *call, struct connection *c, const u8 *first, u64 now) {
  if (c->phase == REQUEST || !starts_http1(first)) return;
  if (c->phase == RESPONSE) finish(call->key, c, EXCHANGE, c->framing == UNTIL_NEXT);
  if (c->phase == STREAM) end_stream(call->key, c, c->framing == UNTIL_NEXT);
  begin(call, c, now);
}

static __always_inline void http1_stream(struct call *call, struct connection *c, u32 skipped, u64 now) {
  struct stream *s = skipped ? new_stream(call->key) : stream_of(call->key);
  if (s && call->head_length > skipped) stream_data(s, call->head + skipped, call->head_length - skipped, now);
  if (http1_body(call, c, skipped, now) == OVER) end_stream(call->key, c, 1);
}

static __always_inline void http1(struct call *call, struct connection *c, const u8 *first, u64 now) {
  if (call->out == (c->role == DIALED)) { http1_request(call, c, first, now); return; }
  int fate = GOES_ON;
  u32 skipped = 0;
  if (c->phase == REQUEST) {
    struct exchange *e = exchange_of(call->key);
    if (!e) { count(COUNT_EVICTED); c->phase = IDLE; return; }
    if (*(u32 *)first != 0x50545448) { ignore(call->key, c); return; }  // "HTTP"
    fate = http1_response(call, c, e, now);
    skipped = e->head.end;
  } else if (c->phase == RESPONSE) {
    fate = http1_body(call, c, 0, now);
  }
  if (fate != GOES_ON) finish(call->key, c, fate == STREAMS ? STREAM_OPENED : EXCHANGE, 1);
  if (fate == OVER) c->phase = IDLE;
  if (fate == SWITCHES) ignore(call->key, c);
  if (fate == STREAMS) c->phase = STREAM;
  if (c->phase == STREAM) http1_stream(call, c, skipped, now);
}
