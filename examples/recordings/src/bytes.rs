//! Numbers of bytes in options.

/// Bytes, as a number or with a unit: `4096`, `64K`, `64KiB`, `1.5 GiB`. All units are powers of 1 024.
///
/// # Errors
///
/// With the reason why the text is not a whole number of bytes.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit != "i" && unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("`{unit}` is no unit of bytes; there are B, KiB, MiB, GiB and TiB")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let bad = || String::from("this is not a number of bytes, such as 67108864, 64MiB or 1.5GiB");
    let large = || String::from("these are more bytes than can be addressed");
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return Err(bad());
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| large())?;
    let scaled = digits.checked_mul(1 << shift).ok_or_else(large)?;
    if scaled % scale != 0 {
        return Err(String::from("this is not a whole number of bytes"));
    }
    usize::try_from(scaled / scale).map_err(|_| large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_units() {
        for (text, bytes) in [
            ("0", 0),
            ("67108864", 64 << 20),
            ("64MiB", 64 << 20),
            ("64M", 64 << 20),
            ("64mb", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("0.25 K", 256),
            ("17B", 17),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "M", "64X", "64MM", "64iB", "-1", "1.2.3M", "1.3", "99999999999T", &"9".repeat(50), "1e9", ".5G"]
        {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
