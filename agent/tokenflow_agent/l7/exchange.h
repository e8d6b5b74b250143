// What is known of a connection and of the exchange (a request and its response) that is under way on it.

#define REQUEST_BYTES 1024
#define RESPONSE_BYTES 512
#define TEXT_BYTES 1024
#define SLACK_BYTES 32  // fixed-width looks near the end of the response stay inside
#define NO_WAKEUP 1

enum { HTTP1 = 1, HTTP2, POSTGRESQL, MYSQL, IGNORED };
enum { SERVED, DIALED };
enum { IDLE, REQUEST, RESPONSE, STREAM };
enum { UNTIL_NEXT, BY_LENGTH, CHUNKED };
enum { EXCHANGE, STREAM_OPENED, STREAM_ENDED };
enum { WANT_HTTP = 1, WANT_SQL = 2, WANT_TLS = 4 };
enum { COUNT_RECORDS, COUNT_RING_FULL, COUNT_EVICTED, COUNT_OPENED, COUNT_CLOSED, COUNTERS };

struct connection {
  u64 sk;
  u64 cgroup;
  u64 started_ns;   // first byte of the request
  u64 first_ns;     // first byte of the response
  u64 last_ns;      // last byte of the response so far
  s64 remaining;    // BY_LENGTH: bytes of the response that are still to come
  u32 network;      // inode of the network namespace
  u16 port;         // of the listening side
  u8 protocol;
  u8 role;
  u8 phase;
  u8 framing;       // how the end of the response is known
  u8 tls;
};

// What user space gets, followed by the first bytes of the request and of the response.
struct record {
  u64 connection;
  u64 cgroup;
  u64 started_ns;
  u64 first_ns;
  u64 last_ns;
  u32 network;
  u16 port;
  u16 request_length;
  u16 response_length;
  u8 protocol;
  u8 role;
  u8 tls;
  u8 kind;
  u8 complete;      // the response was seen to its end
  u8 unused;
};

// What the head of an HTTP/1.x response says of its body.
struct head {
  u32 end;        // offset of the body; 0 while unknown
  u32 length_at;  // offset of content-length's value; 0 without one
  u8 chunked;
  u8 events;      // content-type: text/event-stream
};

struct exchange {
  struct head head;
  struct record record;
  u8 bytes[REQUEST_BYTES + RESPONSE_BYTES + SLACK_BYTES];
};

// Events of a response that is a stream of them, summed up here: user space hears of none of them singly.
struct stream {
  u64 first_ns;
  u64 last_ns;
  u64 events;
  u64 bytes;
  u32 gaps[BUCKETS];  // times between two events, in microseconds
  u32 in_line;        // the line that was cut off by the end of a write is not empty
  u32 in_event;       // a line of the event that is not over yet had a field
};

// A call of a TLS library that has not returned yet.
struct tls_call {
  u64 ssl;
  u64 buffer;
  u64 moved;        // address of the number of bytes, in the extended forms
  u8 out;
  u8 extended;
};

struct text {
  u8 bytes[TEXT_BYTES];
};

// A read or a write, of whatever kind, that moved data.
struct call {
  u64 key;          // of the connection
  u64 sk;           // its socket
  u64 head;         // address of the first bytes
  u64 end;          // address after the last byte
  u32 head_length;  // how many of them are in one piece
  u32 total;
  u8 out;
  u8 tls;
};

// Keeps the verifier's view of a bound that the compiler would prove away.
#define BOUND(value, most) ({ \
  asm volatile("" : "+r"(value)); \
  if (value > (most)) value = (most); \
  asm volatile("" : "+r"(value)); })
