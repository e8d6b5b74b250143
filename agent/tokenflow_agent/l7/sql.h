// PostgreSQL (protocol 3.0) and MySQL: where a statement begins and ends. What it says is left to user space.

#define STARTUP 0x00030000  // PostgreSQL: the version that a client asks for first
#define COM_QUERY 0x03
#define COM_PREPARE 0x16
#define COM_EXECUTE 0x17
#define GREETING 10         // MySQL: version of the protocol, in the server's first packet
#define SQL_RESPONSE_BYTES 64

static __always_inline u32 big_endian(const u8 *at) { return (u32)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }
static __always_inline u32 little_endian(const u8 *at) { return at[0] | at[1] << 8 | (u32)at[2] << 16; }

static __always_inline int starts_postgresql(struct call *call, const u8 *first) {
  if (big_endian(first) == call->total && big_endian(first + 4) == STARTUP) return 1;
  if (first[0] == 'Q') return big_endian(first + 1) + 1 == call->total;
  u8 last[5] = {};
  if (first[0] != 'P' && first[0] != 'B') return 0;
  return last_bytes(call, last, 5) && last[0] == 'S' && big_endian(last + 1) == 4;
}

static __always_inline int is_mysql_packet(struct call *call, const u8 *first) {
  return call->total > 5 && little_endian(first) + 4 == call->total && first[3] == 0;
}

static __always_inline int starts_mysql(struct call *call, const u8 *first) {
  return is_mysql_packet(call, first) && first[4] == COM_QUERY && first[5] >= '\t';
}

static __always_inline int greets_mysql(struct call *call, const u8 *first) {
  return is_mysql_packet(call, first) && first[4] == GREETING && first[5] >= '1' && first[5] <= '9' && call->total > 40;
}

// The server is ready for the next statement.
static __always_inline int ends_postgresql(struct call *call) {
  u8 last[6] = {};
  return last_bytes(call, last, 6) && last[0] == 'Z' && big_endian(last + 1) == 5;
}

// An answer of one packet, OK or ERR, or the packet behind the last row: of 5 bytes, or since MySQL 5.7 of 7.
static __always_inline int ends_mysql(struct call *call, const u8 *first, int at_first) {
  if (at_first && little_endian(first) + 4 == call->total && (first[4] == 0 || first[4] == 0xff)) return 1;
  u8 last[11] = {};
  if (call->total < 9) return 0;
  if (last_bytes(call, last, 11) && last[0] == 7 && last[1] == 0 && last[2] == 0 && last[4] == 0xfe) return 1;
  return last_bytes(call, last, 9) && last[0] == 5 && last[1] == 0 && last[2] == 0 && last[4] == 0xfe;
}

static __always_inline void sql_request(struct call *call, struct connection *c) {
  const u8 *first = call->first;
  if (c->protocol == POSTGRESQL) {
    int begins = first[0] == 'Q' || first[0] == 'P' || first[0] == 'B' || first[0] == 'E';
    // Only a simple query may not be sent before the server is ready.
    if (!begins || c->phase == REQUEST || (c->phase == RESPONSE && first[0] != 'Q')) return;
  } else if (first[3] != 0 || (first[4] != COM_QUERY && first[4] != COM_PREPARE && first[4] != COM_EXECUTE)) {
    return;
  }
  if (c->phase == RESPONSE) finish(call->key, c, EXCHANGE, 1);
  begin(call, c);
}

static __always_inline void sql(struct call *call, struct connection *c) {
  if (call->out == (c->role == DIALED)) { sql_request(call, c); return; }
  if (c->phase == IDLE) return;
  int over = 0, at_first = c->phase == REQUEST;
  if (at_first) {
    struct exchange *e = exchange_of(call->key);
    if (!e) { count(evicted); c->phase = IDLE; return; }
    respond(call, c, e, SQL_RESPONSE_BYTES);
    c->phase = RESPONSE;
    c->framing = UNTIL_NEXT;
    over = c->protocol == MYSQL && e->bytes[4] == COM_PREPARE;  // no statement yet: only its number matters
  }
  c->last_ns = call->now;
  over = over || (c->protocol == POSTGRESQL ? ends_postgresql(call) : ends_mysql(call, call->first, at_first));
  if (!over) return;
  finish(call->key, c, EXCHANGE, 1);
  c->phase = IDLE;
}
