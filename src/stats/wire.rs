//! The counts of the orders as serde's data: a sequence of those that have blocks.

use core::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{OrderStats, Orders};
use crate::raw::Order;

impl Serialize for Orders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Some formats want to know how many there are.
        let mut orders = serializer.serialize_seq(Some(self.with_blocks().count()))?;
        for order in self.with_blocks() {
            serde::ser::SerializeSeq::serialize_element(&mut orders, order)?;
        }
        serde::ser::SerializeSeq::end(orders)
    }
}

impl<'de> Deserialize<'de> for Orders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EachOnce)
    }
}

/// Puts each order where it belongs.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Orders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence of orders, each of them once")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Orders, A::Error> {
        let mut orders = Orders::default();
        while let Some(next) = sequence.next_element::<OrderStats>()? {
            let number = next.order;
            let order = Order::new(number)
                .ok_or_else(|| A::Error::custom(format_args!("order {number} is above {}", Order::MAX.get())))?;
            if orders[order].has_blocks() {
                return Err(A::Error::custom(format_args!("order {number} is there twice")));
            }
            orders[order] = next;
        }
        Ok(orders)
    }
}
