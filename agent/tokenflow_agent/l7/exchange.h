// What is known of a connection and of the exchange (a request and its response) that is under way on it.

#define REQUEST_BYTES 1024
#define RESPONSE_BYTES 512
#define TEXT_BYTES 512
#define GATHERED_BYTES 3072
#define PIECE_BYTES 1024
#define SLACK_BYTES 32  // fixed-width looks near the end of the response stay inside

// Of a connection, and of the step that goes on with it; the last two are HTTP/1's, for the head of a response and
// for streams of events.
enum { HTTP1 = 1, HTTP2, POSTGRESQL, MYSQL, IGNORED, HEAD, EVENTS, STEPS };
enum { SERVED, DIALED };
enum { IDLE, REQUEST, RESPONSE, STREAM };
enum { UNTIL_NEXT, BY_LENGTH, CHUNKED };
enum { EXCHANGE, STREAM_OPENED, STREAM_ENDED, FRAMES, CLOSED, LOST };
enum { WANT_HTTP = 1, WANT_SQL = 2, WANT_TLS = 4 };

// Of one processor; those that a socket's end may interrupt are added to in one go.
struct counters {
  struct cost cost;
  u64 records;
  u64 ring_full;
  u64 evicted;
  u64 opened;
  u64 closed;
};

// HTTP/2: how far the frames of one direction have been followed.
struct side {
  u64 at;           // address of what comes next
  u64 left;         // bytes there
  u64 rest;         // bytes in further pieces of memory
  u64 next;         // number of the next piece
  u32 skip;         // bytes of the payload that are still to come
  u8 in_payload;
  u8 wanted;        // the frame goes to user space
  u8 fresh;         // nothing of it has gone there yet
  u8 held;          // bytes of the head that have come
  u8 head[24];      // 9 bytes are used
};

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
  struct side sides[2];  // HTTP/2: read, written
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
  u8 from_server;   // FRAMES: who sent them
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
struct sums {
  u64 first_ns;
  u64 last_ns;
  u64 events;
  u64 bytes;
  u32 gaps[BUCKETS];  // times between two events, in microseconds
};

// User space reads it while the stream goes on, and gets record and sums when it ends.
struct stream {
  struct record record;
  struct sums sums;
  u32 in_line;        // the line that was cut off by the end of a write is not empty
  u32 in_event;       // a line of the event that is not over yet had a field
};

struct frame {
  struct record record;
  u8 bytes[4096];
};

// The first pieces of a read or write of many, in one.
struct gathered {
  u8 bytes[GATHERED_BYTES + PIECE_BYTES];
};

struct text {
  u8 bytes[TEXT_BYTES];
};

// A struct iovec, and the part of a struct msghdr that leads to it.
struct piece { u64 base, length; };
struct message { u64 name, name_length, pieces, count; };

// A read or a write, of whatever kind, that moved data.
struct call {
  u64 key;          // of the connection
  u64 sk;           // its socket
  u64 head;         // address of the first bytes
  u64 end;          // address after the last byte
  u64 vector;       // address of the pieces, where there are several
  u64 now;
  u8 first[16];     // what the data begins with; at a place where words can be read
  u64 since;        // when the first program began, where it is timed; else 0
  u32 head_length;  // how many bytes the first piece has
  u32 pieces;
  u32 total;
  u32 skipped;      // bytes at the front that are a response's head
  u8 out;
  u8 tls;
  u8 entered;       // HTTP/2 knows where its data is
};

// A call of a TLS library.
struct tls_call {
  u64 ssl;          // 0 once it has returned
  u64 buffer;
  u64 moved;        // address of the number of bytes, in the extended forms
  u8 out;
  u8 extended;
  struct call call; // as it has returned
};

// Keeps the verifier's view of a bound that the compiler would prove away.
#define BOUND(value, most) ({ \
  asm volatile("" : "+r"(value)); \
  if (value > (most)) value = (most); \
  asm volatile("" : "+r"(value)); })
