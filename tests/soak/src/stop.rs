//! A thread that is stopped wherever it is, by a signal.

#[cfg(not(unix))]
pub use none::*;
#[cfg(unix)]
pub use signal::*;

#[cfg(unix)]
mod signal {
    use std::ptr;
    use std::sync::atomic::{AtomicU32, Ordering};

    const RUNS: u32 = 0;
    const TO_STOP: u32 = 1;
    const STOPPED: u32 = 2;
    const TO_GO_ON: u32 = 3;
    static STATE: AtomicU32 = AtomicU32::new(RUNS);

    /// A thread.
    #[derive(Clone, Copy, Debug)]
    pub struct Thread(libc::pthread_t);

    // SAFETY: a name, which any thread may use while the thread is there.
    unsafe impl Send for Thread {}

    extern "C" fn stopped(_: libc::c_int) {
        // Release: pairs with the Acquire in `stop`. What the thread has done so far is visible then.
        STATE.store(STOPPED, Ordering::Release);
        while STATE.load(Ordering::Acquire) != TO_GO_ON {
            // SAFETY: it may be called in a handler.
            unsafe { libc::usleep(100) };
        }
        STATE.store(RUNS, Ordering::Release);
    }

    /// The calling thread.
    pub fn this() -> Thread {
        // SAFETY: it only returns a name.
        Thread(unsafe { libc::pthread_self() })
    }

    /// Stops a thread. It is in the middle of something when this returns.
    ///
    /// # Safety
    ///
    /// The thread is there, and no other one is stopped.
    pub unsafe fn stop(thread: Thread) {
        STATE.store(TO_STOP, Ordering::Release);
        // SAFETY: an action with a handler that only uses atomics and sleeps; the caller says that the thread is there.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int) = stopped;
            (action.sa_sigaction, action.sa_flags) = (handler as libc::sighandler_t, libc::SA_RESTART);
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()), 0);
            assert_eq!(libc::pthread_kill(thread.0, libc::SIGUSR1), 0);
        }
        while STATE.load(Ordering::Acquire) != STOPPED {
            std::thread::yield_now();
        }
    }

    /// The thread goes on, and has done so when this returns.
    pub fn go_on() {
        STATE.store(TO_GO_ON, Ordering::Release);
        while STATE.load(Ordering::Acquire) != RUNS {
            std::thread::yield_now();
        }
    }
}

#[cfg(not(unix))]
mod none {
    /// A thread, which nobody can stop here.
    #[derive(Clone, Copy, Debug)]
    pub struct Thread;

    pub fn this() -> Thread {
        Thread
    }

    /// Does nothing.
    ///
    /// # Safety
    ///
    /// None.
    pub unsafe fn stop(_: Thread) {}

    pub fn go_on() {}
}
