//! Where and with what the figures were measured.

use std::fs;
use std::thread;

/// The lock file of the workspace, which has the versions that this program was built with.
const LOCK_FILE: &str = include_str!("../../../Cargo.lock");

/// Processors that this program may use at once.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The name of the processor, as far as the system tells it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| String::from(std::env::consts::ARCH), |(_, name)| String::from(name.trim()))
}

/// The version of a package, or the latest, if there are several in the lock file.
pub fn version(package: &str) -> Option<&'static str> {
    version_in(LOCK_FILE, package)
}

fn version_in<'a>(lock_file: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let packages = lock_file.split("[[package]]").filter(|section| section.lines().any(|line| line == name));
    packages
        .filter_map(|section| section.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')))
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::ALL;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock_file = "version = 4\n\n[[package]]\nname = \"ab\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"a\"\n\
                         version = \"0.1.0\"\ndependencies = [\n \"ab\",\n]\n";
        assert_eq!(version_in(lock_file, "ab"), Some("1.2.3"));
        assert_eq!(version_in(lock_file, "a"), Some("0.1.0"));
        assert_eq!(version_in(lock_file, "b"), None);
        for package in ALL.iter().filter_map(|entry| entry.package) {
            assert!(version(package).is_some(), "{package}");
        }
    }
}
