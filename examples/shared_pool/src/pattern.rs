//! The pattern that a replay writes into a block. Checked later, it shows that another thread wrote there, or that a
//! byte got lost.

/// The bytes of one object: they differ from those of any other object, and from place to place.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    seed: u64,
}

/// 2^64 divided by the golden ratio: its multiples are far apart.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD: usize = size_of::<u64>();

impl Pattern {
    /// The pattern of object `object` of thread `thread`.
    pub fn new(thread: u32, object: u32) -> Self {
        // The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): neighbours get unlike seeds.
        let mut seed = (u64::from(thread) << 32 | u64::from(object)).wrapping_add(STEP);
        seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { seed: seed ^ seed >> 31 }
    }

    /// The words from number `first` on.
    fn words(self, first: usize) -> impl Iterator<Item = u64> {
        let first = self.seed.wrapping_add(STEP.wrapping_mul(first as u64));
        std::iter::repeat(STEP).scan(first, |next, step| Some(std::mem::replace(next, next.wrapping_add(step))))
    }

    /// Writes the bytes from number `from` on; those before it are there.
    pub fn fill(self, bytes: &mut [u8], from: usize) {
        let first = from / WORD;
        let (words, rest) = bytes[first * WORD..].as_chunks_mut();
        let last = self.words(first + words.len()).next().unwrap_or_default().to_le_bytes();
        for (place, word) in words.iter_mut().zip(self.words(first)) {
            *place = word.to_le_bytes();
        }
        rest.copy_from_slice(&last[..rest.len()]);
    }

    /// The number of the first byte that is not as it was written.
    pub fn first_damage(self, bytes: &[u8]) -> Option<usize> {
        let (words, rest) = bytes.as_chunks();
        let last = self.words(words.len()).next().unwrap_or_default().to_le_bytes();
        // All in one go, which vectorizes; nearly always there is nothing to look for.
        let differing = |bits, (is, was): (&[u8; WORD], u64)| bits | (u64::from_le_bytes(*is) ^ was);
        if words.iter().zip(self.words(0)).fold(0, differing) == 0 && *rest == last[..rest.len()] {
            return None;
        }
        let written = self.words(0).flat_map(u64::to_le_bytes);
        bytes.iter().zip(written).position(|(is, was)| *is != was)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_found() {
        let pattern = Pattern::new(1, 7);
        for size in [1, 2, 7, 8, 9, 100] {
            let mut bytes = vec![0; size];
            pattern.fill(&mut bytes, 0);
            assert_eq!(pattern.first_damage(&bytes), None);
            for place in 0..size {
                bytes[place] ^= 1;
                assert_eq!(pattern.first_damage(&bytes), Some(place));
                bytes[place] ^= 1;
            }
        }
    }

    #[test]
    fn growth_keeps_the_beginning() {
        let pattern = Pattern::new(0, 0);
        let mut bytes = vec![0; 50];
        pattern.fill(&mut bytes[..13], 0);
        pattern.fill(&mut bytes, 13);
        assert_eq!(pattern.first_damage(&bytes), None);
    }

    #[test]
    fn objects_differ() {
        let mut bytes = [0; 64];
        Pattern::new(0, 1).fill(&mut bytes, 0);
        assert!(Pattern::new(1, 0).first_damage(&bytes).is_some());
        assert!(Pattern::new(0, 1).first_damage(&bytes[8..]).is_some());
    }
}
