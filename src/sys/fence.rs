//! A fence for all threads of the process at once.

use super::refusal::is_refused;

/// Does the system have such a fence? A running system may refuse it.
pub(crate) const HAS_HEAVY_FENCE: bool = cfg!(all(any(target_os = "linux", target_os = "android", windows), not(miri)));

/// Each running thread of the process has passed a full fence when this returns true; one that does not run passes one
/// before it runs again. False: there is no such fence here.
pub(crate) fn heavy_fence() -> bool {
    !is_refused("fence") && fence_all()
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
fn fence_all() -> bool {
    /// Commands of `membarrier(2)`.
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    /// Zero is success.
    fn membarrier(command: libc::c_int) -> bool {
        let no_flags_no_cpu: libc::c_int = 0;
        // SAFETY: the call takes numbers only, and touches no memory of the program.
        unsafe { libc::syscall(libc::SYS_membarrier, command, no_flags_no_cpu, no_flags_no_cpu) == 0 }
    }

    // A process that has not registered is refused. A fork has what its parent registered.
    membarrier(PRIVATE_EXPEDITED) || (membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED))
}

#[cfg(all(windows, not(miri)))]
fn fence_all() -> bool {
    // SAFETY: it takes nothing, and touches no memory of the program.
    unsafe { windows_sys::Win32::System::Threading::FlushProcessWriteBuffers() };
    true
}

#[cfg(any(miri, not(any(target_os = "linux", target_os = "android", windows))))]
const fn fence_all() -> bool {
    false
}
