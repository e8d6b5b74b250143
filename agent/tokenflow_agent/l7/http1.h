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

// 1 where two words are the same, else 0, without a branch.
static __always_inline u64 same(u64 one, u64 other) {
  u64 difference = one ^ other;
  return is((u32)(difference | difference >> 32), 0);
}

// Looks at a line of a head, up to its name and some of its value.
static __always_inline void scan_line(struct head *head, const u8 *line, u32 at) {
  u64 name = *(u64 *)line | LOWER_CASE;
  u64 rest = *(u64 *)(line + 8) | LOWER_CASE;
  u64 value = WORD('t', 'e', 'x', 't', '/' , 'e', 'v', 'e');
  u64 content = same(name, WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-'));
  u64 length = content & same(rest & 0xffffffffffffffULL, WORD('l', 'e', 'n', 'g', 't', 'h', ':', 0));
  u64 type = content & same(rest & 0xffffffffffULL, WORD('t', 'y', 'p', 'e', ':', 0, 0, 0));
  head->chunked |= same(name, WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r'));
  head->length_at |= -length & (at + 15);
  head->events |= type & (same(*(u64 *)(line + 13) | LOWER_CASE, value) | same(*(u64 *)(line + 14) | LOWER_CASE, value));
}

// What is found is kept in the map: in registers, every place where it can be found would be one more state to the
// verifier.
static __always_inline void scan_head(struct head *head, const u8 *response, u32 length) {
#pragma clang loop unroll(disable)
  for (u64 i = 8; i < RESPONSE_BYTES; i++) {
    asm volatile("" : "+r"(i));
    if (i + 4 > length) break;
    const u8 *at = response + i;
    if (*(u16 *)at != CRLF) continue;
    if (*(u16 *)(at + 2) == CRLF) { head->end = i + 4; break; }
    scan_line(head, at + 2, i + 2);
  }
}

static __always_inline void read_length(struct connection *c, const u8 *response, u64 at) {
  c->remaining = 0;
  BOUND(at, RESPONSE_BYTES - 1);
  const u8 *digits = response + at;
  digits += *digits == ' ';
#pragma clang loop unroll(disable)
  for (u64 i = 0; i < 14; i++) {
    asm volatile("" : "+r"(i) : : "memory");
    u8 digit = digits[i] - '0';
    if (digit > 9) break;
    c->remaining = c->remaining * 10 + digit;
  }
}

enum { GOES_ON, OVER, STREAMS, SWITCHES };

// Bytes of a response behind the first "skipped" ones, its head's. Tells whether it is over with them.
static __always_inline int http1_body(struct call *call, struct connection *c, u32 skipped) {
  c->last_ns = call->now;
  if (c->framing == CHUNKED) return call->total > skipped && ends_chunked(call) ? OVER : GOES_ON;
  if (c->framing != BY_LENGTH) return GOES_ON;
  c->remaining -= call->total;
  return c->remaining <= 0 ? OVER : GOES_ON;
}

// The first bytes of a response. Tells whether it is over with them, a stream of events, or the last one.
static __always_inline int http1_response(struct call *call, struct connection *c, struct exchange *e) {
  const u8 *response = response_of(e);
  if (response[9] == '1' && response[11] != '1') return GOES_ON;  // interim: the final one follows
  struct head *head = &e->head;
  scan_head(head, response, e->record.response_length);
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
  return head->events ? STREAMS : http1_body(call, c, head->end);
}

static __always_inline void http1_request(struct call *call, struct connection *c) {
  if (c->phase == REQUEST || !starts_http1(call->first)) return;
  if (c->phase == RESPONSE) finish(call->key, c, EXCHANGE, c->framing == UNTIL_NEXT);
  if (c->phase == STREAM) end_stream(call->key, c, c->framing == UNTIL_NEXT);
  begin(call, c);
}

// Returns the step that is next.
static __always_inline u32 http1_goes_on(struct call *call, struct connection *c, int fate) {
  if (fate != GOES_ON) finish(call->key, c, fate == STREAMS ? STREAM_OPENED : EXCHANGE, 1);
  if (fate == OVER) c->phase = IDLE;
  if (fate == SWITCHES) ignore(call->key, c);
  if (fate == STREAMS) c->phase = STREAM;
  return c->phase == STREAM ? EVENTS : 0;
}

static __always_inline u32 http1(struct call *call, struct connection *c) {
  if (call->out == (c->role == DIALED)) { http1_request(call, c); return 0; }
  if (c->phase == RESPONSE) return http1_goes_on(call, c, http1_body(call, c, 0));
  if (c->phase != REQUEST) return c->phase == STREAM ? EVENTS : 0;
  struct exchange *e = exchange_of(call->key);
  if (!e) { count(evicted); c->phase = IDLE; return 0; }
  if (*(u32 *)call->first != 0x50545448) { ignore(call->key, c); return 0; }  // "HTTP"
  respond(call, c, e, RESPONSE_BYTES);
  return HEAD;
}

static __always_inline u32 http1_head(struct call *call, struct connection *c) {
  struct exchange *e = exchange_of(call->key);
  if (!e) return 0;
  int fate = http1_response(call, c, e);
  call->skipped = e->head.end;
  return http1_goes_on(call, c, fate);
}

static __always_inline void events(struct call *call, struct connection *c) {
  struct stream *s = call->skipped ? begin_stream(call->key, c) : stream_of(call->key);
  u32 skipped = call->skipped;
  if (s && call->head_length > skipped) stream_data(s, call->head + skipped, call->head_length - skipped, call->now);
  if (http1_body(call, c, skipped) == OVER) end_stream(call->key, c, 1);
}
