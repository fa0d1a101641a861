//! Tests of the harness itself: the faults of a database and of a wire do happen.

mod checker;
mod database;
mod load;
mod wire;

use std::collections::BTreeSet;

use super::common::ports;

#[test]
fn no_port_is_given_away_twice() {
    let given: BTreeSet<u16> = (0..250).map(|_| ports::free()).collect();
    assert_eq!(given.len(), 250);
}
