// The life of an exchange: it begins, is answered, and is over.

static __always_inline void describe(struct record *record, u64 key, struct connection *c, u8 kind, u8 complete) {
  record->connection = key;
  record->cgroup = c->cgroup;
  record->network = c->network;
  record->started_ns = c->started_ns;
  record->first_ns = c->first_ns;
  record->last_ns = c->last_ns;
  record->port = c->port;
  record->protocol = c->protocol;
  record->role = c->role;
  record->tls = c->tls;
  record->kind = kind;
  record->complete = complete;
}

// Sends a record that has no more to it.
static __always_inline void tell(u64 key, struct connection *c, u8 kind, u8 complete) {
  struct record record = {};
  describe(&record, key, c, kind, complete);
  send(&record, sizeof(record));
}

// Sends the exchange that is under way to user space, and forgets it.
static __always_inline void finish(u64 key, struct connection *c, u8 kind, u8 complete) {
  struct exchange *e = exchange_of(key);
  if (!e) { count(evicted); return; }
  describe(&e->record, key, c, kind, complete);
  u64 length = e->record.request_length;
  length += e->record.response_length;
  BOUND(length, REQUEST_BYTES + RESPONSE_BYTES);
  send(&e->record, sizeof(struct record) + length);
  drop_exchange(key);
}

// Begins an exchange with the first bytes of its request.
static __always_inline void begin(struct call *call, struct connection *c) {
  struct exchange *e = new_exchange(call->key);
  if (!e) return;
  u64 length = call->head_length;
  BOUND(length, REQUEST_BYTES - 1);
  if (bpf_probe_read_user(e->bytes, length, (void *)call->head)) length = 0;
  e->record.request_length = length;
  c->phase = REQUEST;
  c->started_ns = call->now;
  c->first_ns = c->last_ns = 0;
}

// The response lies behind the request.
static __always_inline u8 *response_of(struct exchange *e) {
  return e->bytes + (e->record.request_length & (REQUEST_BYTES - 1));
}

// Adds the first bytes of the response, at most "most".
static __always_inline void respond(struct call *call, struct connection *c, struct exchange *e, u64 most) {
  u64 length = call->head_length;
  BOUND(length, most);
  if (bpf_probe_read_user(response_of(e), length, (void *)call->head)) length = 0;
  e->record.response_length = length;
  c->first_ns = c->last_ns = call->now;
}

// Takes the connection for one of another protocol from now on.
static __always_inline void ignore(u64 key, struct connection *c) {
  drop_exchange(key);
  c->protocol = IGNORED;
  c->phase = IDLE;
}

// The last bytes of what was read or written. Tells whether there are as many.
static __always_inline int last_bytes(struct call *call, u8 *last, u32 length) {
  return call->total >= length && !bpf_probe_read_user(last, length, (void *)(call->end - length));
}
