//! Messages that zenoh itself drops, counted.
//!
//! A thread of each process confirms, every 50 ms, the messages that the process has. Another one takes what nobody
//! confirmed for 100 ms for abandoned, and a subscriber drops it. On an overloaded machine that hits messages which are
//! on their way, whatever the backend is. zenoh tells it to its log only.

use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, SetGlobalDefaultError, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// Calls `tell` for each message that this process drops so, from now on.
pub fn watch(tell: impl Fn() + Send + Sync + 'static) -> Result<(), SetGlobalDefaultError> {
    set_global_default(Log { tell: Arc::new(tell) })
}

/// zenoh's log, of which one line counts.
struct Log {
    tell: Arc<dyn Fn() + Send + Sync>,
}

/// Is that the line?
struct Line(bool);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}").starts_with("Error receiving SHM buffer");
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::DEBUG && metadata.target().starts_with("zenoh_transport")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(false);
        event.record(&mut line);
        if line.0 {
            (self.tell)();
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // No span is enabled.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn only_the_line_of_a_dropped_message_counts() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let tell = Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        tracing::subscriber::with_default(Log { tell }, || {
            tracing::debug!(target: "zenoh_transport::unicast", "Error receiving SHM buffer: {}", "invalid");
            tracing::debug!(target: "zenoh_transport::unicast", "Error receiving a frame");
            tracing::debug!(target: "zenoh", "Error receiving SHM buffer");
            tracing::trace!(target: "zenoh_transport", "Error receiving SHM buffer");
        });
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
