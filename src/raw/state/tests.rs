//! Tests of states.

use super::*;

#[test]
fn fields_do_not_disturb_each_other() {
    for order in Order::ZERO.through(Order::MAX) {
        let (live, free) = (State::live(order.into()), State::free(order));
        assert_eq!((live.kind(), live.order(), live.is_listed()), (Kind::Live, order, false));
        assert_eq!((free.kind(), free.order(), free.is_listed()), (Kind::Free, order, true));
        assert_eq!(live.keeping_node_of(free).order(), order);
        assert!(live.keeping_node_of(free).is_listed());
    }
    let mine = State::live_from(Owner::of(30));
    for code in 0..=u8::MAX {
        let class = Class::from_code(code);
        let live = mine.of_class(class);
        assert_eq!((live.kind(), live.class(), live.owner().cache()), (Kind::Live, class, Some(30)));
        assert_eq!(live.class_if_like(mine), Some(class));
        assert_eq!(mine.resized(class), live);
        assert_eq!(State::tail(class.order()).class_if_like(mine), None);
        for other in [State::live(class), State::cached(class), State(live.0 | LISTED)] {
            assert_eq!((other.class_if_like(mine), other.class()), (None, class));
        }
    }
    assert_eq!((Owner::of(254).cache(), Owner::of(255)), (Some(254), Owner::NONE));
    assert_eq!(State::live_from(Owner::of(31)).owner(), Owner::NONE);
    let tail = State::tail(Order::MAX);
    assert_eq!((tail.kind(), tail.order(), tail.extent()), (Kind::Tail, Order::MAX, Order::MAX));
    assert_eq!(State(0).kind(), Kind::Inner);
    assert_eq!(State(LISTED).kind(), Kind::Inner);
}
