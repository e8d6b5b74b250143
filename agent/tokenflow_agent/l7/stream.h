// Server-sent events in the body of a response (HTML Standard, 9.2): counted and timed, never kept.
// An event ends with an empty line after at least one field. Of a write, the first TEXT_BYTES are looked at; a
// longer one counts as one event at least. Several events of one write are no time apart.

// 1 where a value below 2^32 is "wanted", else 0, without a branch: each would double what the verifier has to walk.
static __always_inline u64 is(u64 value, u64 wanted) {
  u64 difference = value ^ wanted;
  asm volatile("" : "+r"(difference));
  return (difference - 1) >> 63;
}

static __always_inline void scan_events(struct stream *s, const u8 *bytes, u64 length) {
  u64 in_line = s->in_line, in_event = s->in_event;
#pragma clang loop unroll(disable)
  for (u64 i = 0; i < TEXT_BYTES; i++) {
    asm volatile("" : "+r"(i));  // older verifiers must see what the loop is bounded by
    if (i >= length) break;
    u64 line_ends = is(bytes[i], '\n');
    u64 event_ends = line_ends & in_event & ~in_line;
    s->sums.events += event_ends;  // in the map, where the verifier does not follow how many there may be
    in_event = (in_event | (is(bytes[i], ':') & in_line)) & ~event_ends;  // a line that begins with it is a comment
    in_line = (in_line | (1 ^ is(bytes[i], '\r'))) & ~line_ends;
    asm volatile("" : "+r"(in_line), "+r"(in_event) : : "memory");
  }
  s->in_line = in_line & 1;
  s->in_event = in_event & 1;
}

static __always_inline void stream_data(struct stream *s, u64 address, u64 length, u64 now) {
  struct text *text = scratch_text();
  if (!text || !length) return;
  u64 before = s->sums.events, known = length;
  BOUND(known, TEXT_BYTES);
  if (bpf_probe_read_user(text->bytes, known, (void *)address)) return;
  scan_events(s, text->bytes, known);
  if (length > TEXT_BYTES) {
    if (s->sums.events == before) s->sums.events++;
    s->in_line = s->in_event = 0;
  }
  s->sums.bytes += length;
  u64 found = s->sums.events - before;
  if (!found) return;
  if (s->sums.last_ns) {
    u64 bucket = bucket_of((now - s->sums.last_ns) / 1000);
    asm volatile("" : "+r"(bucket));  // so that the verifier sees the check that follows
    if (bucket < BUCKETS) s->sums.gaps[bucket]++;
  } else {
    s->sums.first_ns = now;
  }
  s->sums.gaps[0] += found - 1;
  s->sums.last_ns = now;
}

static __always_inline struct stream *begin_stream(u64 key, struct connection *c) {
  struct stream *s = new_stream(key);
  if (!s) return 0;
  describe(&s->record, key, c, STREAM_OPENED, 0);
  s->record.response_length = sizeof(struct sums);
  return s;
}

// Sends the sums to user space, and forgets them: the next stream of the connection has its own.
static __always_inline void end_stream(u64 key, struct connection *c, u8 complete) {
  struct stream *s = stream_of(key);
  c->phase = IDLE;
  if (!s) {
    count(evicted);
    tell(key, c, STREAM_ENDED, complete);
    return;
  }
  describe(&s->record, key, c, STREAM_ENDED, complete);
  send(&s->record, sizeof(struct record) + sizeof(struct sums));
  drop_stream(key);
}
