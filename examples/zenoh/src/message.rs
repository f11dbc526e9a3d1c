//! What is in a message: its thread and number at both ends, so that a chunk that two messages share is seen.

/// The smallest and the largest message, in bytes.
const SIZES: [u32; 2] = [256, 16 << 10];

/// What begins and ends each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub thread: u32,
    pub number: u32,
}

impl Stamp {
    const BYTES: usize = 8;

    /// Never zeroes, which memory may be that nobody wrote.
    fn bytes(self) -> [u8; Self::BYTES] {
        ((u64::from(self.thread + 1) << 32) | u64::from(self.number)).to_le_bytes()
    }

    /// The bytes of this message.
    pub fn size(self) -> usize {
        random_size(u64::from(self.number) ^ (u64::from(self.thread) << 40))
    }

    pub fn write(self, message: &mut [u8]) {
        let behind = message.len() - Self::BYTES;
        message[..Self::BYTES].copy_from_slice(&self.bytes());
        message[behind..].copy_from_slice(&self.bytes());
    }

    /// The stamp of a message. `None`: the message is none that was sent.
    pub fn read(message: &[u8]) -> Option<Self> {
        let word = u64::from_le_bytes(*message.first_chunk()?);
        let stamp = Self { thread: ((word >> 32) as u32).checked_sub(1)?, number: word as u32 };
        (message.len() == stamp.size() && message.ends_with(&stamp.bytes())).then_some(stamp)
    }
}

/// A size from a random number: as often from 256 to 512 bytes as from 8 to 16 KiB.
pub fn random_size(number: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(number);
    let most = SIZES[0] << random.u32(1..=(SIZES[1] / SIZES[0]).ilog2());
    random.u32(most / 2..most) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_a_broken_one_is_none() {
        for number in 0..1000 {
            let stamp = Stamp { thread: number % 3, number };
            let mut message = vec![0; stamp.size()];
            assert!((256..16 << 10).contains(&message.len()));
            assert_eq!(Stamp::read(&message), None);
            stamp.write(&mut message);
            assert_eq!(Stamp::read(&message), Some(stamp));
            assert_eq!(Stamp::read(&message[1..]), None);
            *message.last_mut().expect("bytes") ^= 1;
            assert_eq!(Stamp::read(&message), None);
        }
    }
}
