// Ways to read kernel memory, shared by all programs. With DIRECT, arguments are typed and the verifier lets
// them be followed without a helper (TRACING programs); without it, every read is a helper's. With KPROBE, the
// program runs on entry to a kernel function, whose arguments are in registers.

#define __always_inline inline __attribute__((always_inline))

#define PROBE(type, base, offset) ({ \
  type loaded_ = 0; \
  bpf_probe_read_kernel(&loaded_, sizeof(loaded_), (const void *)((u64)(base) + (offset))); \
  (u64)loaded_; })

#ifdef DIRECT
// Inline assembly, because bcc rewrites dereferences in C into helper calls.
#define LOAD(type, base, offset) ({ \
  u64 loaded_; \
  asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(loaded_) : "r"((u64)(base)), "i"(offset)); \
  loaded_; })
#else
#define LOAD PROBE
#endif

// Where argument 0, 1 or 2 is, in bytes from the context.
#ifndef KPROBE
#define ARGUMENT_AT(number) ((number) * 8)
#elif defined(__x86_64__)
#define ARGUMENT_AT(number) ((number) == 0 ? 112 : (number) == 1 ? 104 : 96)  // di, si, dx of struct pt_regs
#else
#define ARGUMENT_AT(number) ((number) * 8)  // x0 and on, of struct user_pt_regs of aarch64
#endif

#define CONTEXT(ctx, at) ({ \
  u64 word_; \
  asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(word_) : "r"(ctx), "i"(at)); \
  word_; })

#define ARGUMENT(ctx, number) CONTEXT(ctx, ARGUMENT_AT(number))
