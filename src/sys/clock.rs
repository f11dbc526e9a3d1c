//! A clock that costs a few nanoseconds: it may be some milliseconds late.

use super::refusal::is_refused;

/// Milliseconds since some moment; never fewer than before. `None`: the system has no such clock.
pub(crate) fn milliseconds() -> Option<u64> {
    if is_refused("clock") { None } else { now() }
}

#[cfg(unix)]
fn now() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_FAST;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "dragonfly")))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time` only.
    let is_told = unsafe { libc::clock_gettime(CLOCK, &raw mut time) } == 0;
    is_told.then_some(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

#[cfg(windows)]
fn now() -> Option<u64> {
    // SAFETY: it only returns a number.
    Some(unsafe { windows_sys::Win32::System::SystemInformation::GetTickCount64() })
}

#[cfg(not(any(unix, windows)))]
const fn now() -> Option<u64> {
    None
}
