// The kernel's half of tokenflow_agent.tcp.histogram: four buckets of equal width in each power of two.

static __always_inline u32 bucket_of(u32 duration) {
  if (duration < 4) return duration;
  u32 shift = 0, rest = duration >> 2;
  if (rest >> 16) { shift += 16; rest >>= 16; }
  if (rest >> 8) { shift += 8; rest >>= 8; }
  if (rest >> 4) { shift += 4; rest >>= 4; }
  if (rest >> 2) { shift += 2; rest >>= 2; }
  if (rest >> 1) shift += 1;
  u32 bucket = shift * 4 + (duration >> shift);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}
