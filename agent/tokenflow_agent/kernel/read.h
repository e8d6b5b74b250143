// Ways to read kernel memory, shared by all programs. With DIRECT, arguments are typed and the verifier lets
// them be followed without a helper (TRACING programs); without it, every read is a helper's.

#define __always_inline inline __attribute__((always_inline))

#ifdef DIRECT
// Inline assembly, because bcc rewrites dereferences in C into helper calls.
#define LOAD(type, base, offset) ({ \
  u64 loaded_; \
  asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(loaded_) : "r"((u64)(base)), "i"(offset)); \
  loaded_; })
#else
#define LOAD(type, base, offset) ({ \
  type loaded_ = 0; \
  bpf_probe_read_kernel(&loaded_, sizeof(loaded_), (const void *)((u64)(base) + (offset))); \
  (u64)loaded_; })
#endif

// An argument of a raw tracepoint.
#define ARGUMENT(ctx, number) ({ \
  u64 argument_; \
  asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(argument_) : "r"(ctx), "i"((number) * 8)); \
  argument_; })
