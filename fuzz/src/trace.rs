//! Trace files: each is an error, or a program that can be played.

use recordings::{Event, Trace};

/// Reads a trace.
pub fn run(data: &[u8]) {
    let Ok(trace) = Trace::read(data) else { return };
    let mut live = vec![None; trace.objects];
    let (mut next, mut bytes, mut most) = (0, 0_usize, 0);
    for event in &trace.events {
        match *event {
            Event::Allocate { object, layout } => {
                assert_eq!(object, next, "objects have numbers in the order of their allocation");
                next += 1;
                assert!(layout.size() > 0);
                live[object as usize] = Some(layout.size());
                bytes = bytes.saturating_add(layout.size());
            }
            Event::Reallocate { object, size } => {
                let before = live[object as usize].replace(size).expect("it is live");
                assert!(size > 0);
                bytes = bytes.saturating_add(size).saturating_sub(before);
            }
            Event::Free { object } => {
                let before = live[object as usize].take().expect("it is live");
                bytes = bytes.saturating_sub(before);
            }
        }
        most = most.max(bytes);
    }
    assert_eq!(trace.stretches.iter().map(|stretch| stretch.events).sum::<usize>(), trace.events.len());
    let peak = trace.peak(16);
    assert!(most == usize::MAX || peak.live == most || bytes == usize::MAX, "{peak:?}, {most}");
}
