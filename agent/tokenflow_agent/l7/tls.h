// Plaintext on its way into and out of OpenSSL: SSL_read and SSL_write, and their _ex forms.

#define REGISTER(ctx, offset) ({ \
  u64 register_; \
  asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(register_) : "r"(ctx), "i"(offset)); \
  register_; })

// Named by process and address: both fit, the address without the bits that are always the same.
static __always_inline u64 tls_key(u64 ssl) {
  return (bpf_get_current_pid_tgid() >> 32) << 42 | (ssl >> 4 & ((1ULL << 42) - 1));
}

static __always_inline void enter_tls(u64 *ctx, u8 out, u8 extended) {
  struct tls_call entered = {
    .ssl = REGISTER(ctx, OFF_PARAMETER_0),
    .buffer = REGISTER(ctx, OFF_PARAMETER_1),
    .moved = REGISTER(ctx, OFF_PARAMETER_3),
    .out = out,
    .extended = extended,
  };
  keep_tls_call(bpf_get_current_pid_tgid(), &entered);
}

// Fills in what a call that returns now has moved; 0 where it moved nothing.
static __always_inline int leave_tls(u64 *ctx, struct tls_call *entered, struct call *call) {
  s32 result = REGISTER(ctx, OFF_RESULT);
  if (result <= 0) return 0;
  u64 total = result;
  if (entered->extended && bpf_probe_read_user(&total, sizeof(total), (void *)entered->moved)) return 0;
  if (!total || total > 1 << 30) return 0;
  call->key = tls_key(entered->ssl);
  call->head = entered->buffer;
  call->head_length = call->total = total;
  call->end = entered->buffer + total;
  call->out = entered->out;
  call->tls = 1;
  return 1;
}

// Content type and version of a TLS record.
static __always_inline int is_tls_record(const u8 *first) { return first[0] >= 0x14 && first[0] <= 0x17 && first[1] == 3; }
