//! What is done with collections. Each turn begins with nothing and leaves nothing, so that it can be done in an
//! arena too.

use std::hint::black_box;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use clap::ValueEnum;
use hashbrown::{DefaultHashBuilder, HashMap};

use fastrand::Rng;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// 20 vectors of 1 to 2 000 numbers, one after the other, each filled from empty
    Vectors,
    /// 50 vectors that grow to 500 numbers side by side, so that none grows where it is for long
    SideBySide,
    /// 1 000 boxes of 8 to 1 024 bytes, random ones of which are replaced
    Boxes,
    /// A list of 2 000 nodes of 48 bytes, every other one of which is taken out
    List,
    /// A search tree of 2 000 nodes with texts of 1 to 60 bytes
    Tree,
    /// A hash map from numbers to boxes; 2 000 are inserted, half of them removed, and others inserted
    Map,
}

impl Work {
    pub fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// In tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vectors => "vectors, filled",
            Self::SideBySide => "vectors, side by side",
            Self::Boxes => "boxes, 8 to 1 024 B",
            Self::List => "linked list",
            Self::Tree => "tree of texts",
            Self::Map => "hash map of boxes",
        }
    }

    /// One turn; how many elements that were.
    pub fn turn<A: Allocator + Copy>(self, allocator: A) -> u64 {
        match self {
            Self::Vectors => vectors(allocator),
            Self::SideBySide => side_by_side(allocator),
            Self::Boxes => boxes(allocator),
            Self::List => list(allocator),
            Self::Tree => tree(allocator),
            Self::Map => map(allocator),
        }
    }
}

fn vectors<A: Allocator + Copy>(allocator: A) -> u64 {
    let (mut random, mut elements) = (Rng::with_seed(2), 0);
    for _ in 0..20 {
        let mut numbers = Vec::new_in(allocator);
        (0..=random.usize(..2000)).for_each(|number| numbers.push(number as u64));
        elements += black_box(&numbers).len() as u64;
    }
    elements
}

fn side_by_side<A: Allocator + Copy>(allocator: A) -> u64 {
    const COUNT: usize = 50;
    const LEN: u64 = 500;
    let mut all: Vec<Vec<u64, A>, A> = Vec::with_capacity_in(COUNT, allocator);
    all.extend((0..COUNT).map(|_| Vec::new_in(allocator)));
    for number in 0..LEN {
        all.iter_mut().for_each(|numbers| numbers.push(number));
    }
    black_box(&all);
    COUNT as u64 * LEN
}

fn boxes<A: Allocator + Copy>(allocator: A) -> u64 {
    const COUNT: usize = 1000;
    const REPLACED: usize = 4000;
    let mut random = Rng::with_seed(0);
    let new = |random: &mut Rng| {
        let mut bytes = Box::new_uninit_slice_in(8 + random.usize(..1017), allocator);
        bytes[0].write(1u8);
        bytes
    };
    let mut all = Vec::with_capacity_in(COUNT, allocator);
    all.extend((0..COUNT).map(|_| new(&mut random)));
    for _ in 0..REPLACED {
        let place = random.usize(..COUNT);
        all[place] = new(&mut random);
    }
    black_box(&all);
    (COUNT + REPLACED) as u64
}

struct Node<A: Allocator> {
    value: [u64; 4],
    next: Link<A>,
}

type Link<A> = Option<Box<Node<A>, A>>;

fn list<A: Allocator + Copy>(allocator: A) -> u64 {
    const LEN: u64 = 2000;
    let mut first: Link<A> = None;
    for number in 0..LEN {
        let next = first.take();
        first = Some(Box::new_in(Node { value: [number; 4], next }, allocator));
    }
    let mut place = &mut first;
    while let Some(node) = place {
        node.next = node.next.take().and_then(|mut next| next.next.take());
        place = &mut node.next;
    }
    // One after the other: to drop the first would drop all by recursion.
    let mut sum = 0;
    while let Some(mut node) = first {
        sum += node.value[3];
        first = node.next.take();
    }
    assert_eq!(sum, LEN * LEN / 4, "every other one, from the last on");
    LEN
}

struct Branch<A: Allocator> {
    key: u64,
    text: Vec<u8, A>,
    children: [Option<Box<Branch<A>, A>>; 2],
}

fn tree<A: Allocator + Copy>(allocator: A) -> u64 {
    const NODES: u64 = 2000;
    let mut random = Rng::with_seed(1);
    let mut root: Option<Box<Branch<A>, A>> = None;
    for _ in 0..NODES {
        let key = random.u64(..);
        let mut place = &mut root;
        while let Some(branch) = place {
            let side = usize::from(key > branch.key);
            place = &mut branch.children[side];
        }
        let mut text = Vec::with_capacity_in(1 + key as usize % 60, allocator);
        text.push(key as u8);
        *place = Some(Box::new_in(Branch { key, text, children: [None, None] }, allocator));
    }
    assert!(black_box(&root).as_ref().is_some_and(|root| root.text[0] == root.key as u8));
    // Dropped by recursion: a random tree is not deep.
    NODES
}

fn map<A: Allocator + Copy>(allocator: A) -> u64 {
    const COUNT: u64 = 2000;
    let mut map = HashMap::with_hasher_in(DefaultHashBuilder::default(), allocator);
    for number in 0..COUNT {
        map.insert(number, Box::new_in([number; 6], allocator));
    }
    for number in (0..COUNT).step_by(2) {
        map.remove(&number);
    }
    for number in COUNT..COUNT + COUNT / 2 {
        map.insert(number, Box::new_in([number; 6], allocator));
    }
    assert_eq!(map.len() as u64, COUNT);
    COUNT + COUNT / 2
}
