//! A small generator of pseudo-random numbers (xorshift64*), the same on every machine and in every version.
//!
//! Corpora are named by their seed, so the stream behind a seed must never change with a crate's version.

/// A seeded stream of numbers. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
        if random.0 == 0 {
            random.0 = 1;
        }
        for _ in 0..8 {
            random.bits();
        }
        random
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 up to, not including, `bound` (0 for a bound of 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 16).checked_rem(bound).unwrap_or(0)
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.bits() >> 32).unwrap_or(0);
        f64::from(bits) / 4_294_967_296.0
    }

    /// A normally distributed number (twelve uniform ones added up, good enough for sizes).
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        mean + (sum - 6.0) * deviation
    }

    /// True in `share` of the cases.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// One of `items`; the default of an empty slice.
    pub fn pick<'a>(&mut self, items: &'a [&'a str]) -> &'a str {
        let index =
            usize::try_from(self.below(u64::try_from(items.len()).unwrap_or(0))).unwrap_or(0);
        items.get(index).copied().unwrap_or_default()
    }
}
