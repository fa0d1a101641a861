//! A database that is not available when the service starts.

use rustix::process::{Pid, Signal, kill_process};

use super::common::postgres::Postgres;
use super::common::wire::{State, Wire};
use super::fixture::{Process, is_secret, nodes};

const WAITS: &str = "the database cannot be reached yet";

#[test]
fn a_service_waits_for_a_database_that_comes_up_and_says_so() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    database.stop();
    let mut process = Process::serve(&nodes.0[0]);
    process.says(WAITS);
    assert!(!process.log().contains("listening on"));
    database.start_again();
    process.says("listening on");
    is_secret(&process.log());
}

#[test]
fn a_service_waits_for_a_database_that_hangs_or_has_no_room() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let crowd = database.take_all_connections();
    let mut process = Process::serve(&nodes.0[0]);
    process.says(WAITS);
    drop(crowd);
    process.says("listening on");
    drop(process);
    database.pause();
    let mut process = Process::serve(&nodes.0[0]);
    process.says(WAITS);
    database.resume();
    process.says("listening on");
    is_secret(&process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_never_comes_is_given_up_for() {
    let database = Postgres::start();
    let wire = Wire::to_port(database.port()).await;
    let nodes = nodes(&database, 1, &[]);
    let hung = super::nodes::Nodes::prepare(&[database.url_through(&wire)], &[], &[]);
    database.stop();
    wire.set(State::Held);
    let mut gone = Process::serve(&nodes.0[0]);
    let mut hangs = Process::serve(&hung.0[0]);
    for (process, port) in [(&mut gone, database.port()), (&mut hangs, wire.port)] {
        let said = process.is_refused();
        let place = format!("postgres://127.0.0.1:{port}/waxseal");
        for words in [WAITS, &place, "could not be reached in time", "is it up"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        is_secret(&said);
    }
}

#[test]
fn a_service_that_waits_can_be_stopped() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    database.stop();
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::serve(&nodes.0[0]);
        process.says(WAITS);
        kill_process(Pid::from_child(&process.child), signal).unwrap();
        assert_eq!(process.ends().code(), Some(0), "{}", process.log());
        assert!(!process.log().contains("could not be reached in time"));
    }
}
