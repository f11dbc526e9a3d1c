//! Sizes and shares as a person reads them. Nothing is allocated for it.

use core::fmt::{self, Write};

/// Bytes as a `usize`; the most that it can hold, if they are more.
pub(crate) fn saturated(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Bytes for a person, in the largest unit of which there is a whole one: a whole number, or else with one decimal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Self(bytes) = *self;
        // 10 bits a name, and a u64 has fewer than 70.
        let name = bytes.checked_ilog2().map_or(0, |bits| bits / 10);
        let unit = 1 << (10 * name);
        let name = NAMES[name as usize];
        match bytes % unit {
            0 => pad(f, format_args!("{} {name}", bytes / unit)),
            rest => pad(f, format_args!("{}.{} {name}", bytes / unit, u128::from(rest) * 10 / u128::from(unit))),
        }
    }
}

/// A share of a whole in percent, with one decimal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percent {
    pub(crate) part: u64,
    pub(crate) whole: u64,
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permille = (u128::from(self.part) * 1000).checked_div(u128::from(self.whole)).unwrap_or(0);
        pad(f, format_args!("{}.{} %", permille / 10, permille % 10))
    }
}

/// Writes a short text as wide as the formatter asks for.
fn pad(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    /// Longer than any text of this file.
    #[derive(Default)]
    struct Line {
        bytes: [u8; 32],
        len: usize,
    }

    impl Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = self.len + text.len();
            self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
            self.len = end;
            Ok(())
        }
    }

    if f.width().is_none() {
        return f.write_fmt(text);
    }
    let mut line = Line::default();
    line.write_fmt(text)?;
    f.pad(core::str::from_utf8(&line.bytes[..line.len]).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn bytes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (5 << 30, "5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(Percent { part: u64::MAX / 3, whole: u64::MAX }.to_string(), "33.3 %");
        assert_eq!(Percent { part: 0, whole: 0 }.to_string(), "0.0 %");
        assert_eq!(format!("{:>9}|{:<9}|", Bytes(1536), Percent { part: 1, whole: 2 }), "  1.5 KiB|50.0 %   |");
    }
}
