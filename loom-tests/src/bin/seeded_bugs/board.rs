//! Bugs in the board of a pool.

use super::bug::Bug;

const BOARD: &str = "board.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a publication is not told",
        source: BOARD,
        find: "if seen & ARMED != 0 {",
        replace: "if seen & ARMED != 0 && entry == usize::MAX {",
        models: &["board::news"],
    },
    Bug {
        name: "a pool has two boards",
        source: "board_place.rs",
        find: "self.0.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Relaxed);",
        replace: "Ok::<*mut Board, *mut Board>(self.0.swap(new.as_ptr(), Ordering::AcqRel));",
        models: &["remove::add_two"],
    },
    Bug {
        name: "a publication looks at the board without a fence",
        source: BOARD,
        find: "        fence_after_exchange();\n",
        replace: "",
        models: &["board::news", "board::lower_published"],
    },
    Bug {
        name: "a publication does not raise the number of its heap",
        source: BOARD,
        find: "levels.raise(entry, order as u8 + 1);",
        replace: "let _ = levels;",
        models: &["board::lower_published"],
    },
    Bug {
        name: "a maximum is lowered without a fence",
        source: BOARD,
        find: "            fence(Ordering::SeqCst);\n            let again",
        replace: "            let again",
        models: &["board::settle_raise"],
    },
    Bug {
        name: "numbers are raised without a fence",
        source: BOARD,
        find: "        fence(Ordering::SeqCst);\n        (1..self.depth)",
        replace: "        (1..self.depth)",
        models: &["board::settle_raise"],
    },
    Bug {
        name: "news are armed without a fence",
        source: BOARD,
        find: "        fence(Ordering::SeqCst);\n        seen\n",
        replace: "        seen\n",
        models: &["board::news"],
    },
];
