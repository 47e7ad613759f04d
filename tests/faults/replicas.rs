//! Several servers on one PostgreSQL. Every request of a client goes to any of them, so that a server which
//! does not know another one's writes would be noticed.

use crate::fault::{Fault, OF_SEVERAL};
use crate::field::Service;
use crate::scripts::{for_a_long_time, shuffled};
use crate::support::Kind;
use crate::trial::trial;

/// Each becomes a test: which servers, which faults in turn, how many, from which seed.
macro_rules! scripts {
    ($($name:ident: $service:ident, [$($fault:ident),+], $rounds:literal, $seed:literal;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            needs!(Postgres);
            let service = (Kind::Postgres, Service::$service);
            let figures = trial(service, &[$(Fault::$fault),+], $rounds, $seed).await;
            println!("{figures:?}; violations: 0");
        }
    )+};
}

scripts! {
    replicas_killed_stopped_and_paused_are_one_service:
        Replicas, [KillServer, PauseServer, StopServer, LateCommit], 4, 21;
    replicas_on_a_postgres_that_ends_them_or_its_answers_are_one_service:
        Replicas, [KillPostgres, CutAnswer, EndListeners, PauseListeners], 4, 22;
    replicas_asleep_for_longer_than_anything_waits_wake_and_are_not_behind:
        Replicas, [PauseServerForLong], 1, 23;
    replicas_that_believe_they_are_alone_lose_no_write:
        TwoAlone, [KillServer, LateCommit, CutAnswer], 3, 24;
}

/// One of three is paused for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form: a minute and more"]
async fn replicas_paused_for_a_minute_show_no_old_state_afterwards() {
    needs!(Postgres);
    let service = (Kind::Postgres, Service::Replicas);
    let figures = trial(service, &[Fault::PauseServerForAMinute], 1, 25).await;
    println!("{figures:?}; violations: 0");
}

/// All faults mixed, run after run, until `FAULT_MINUTES` are over; every fourth run has servers in
/// `MODE=sole`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form: for as long as wanted"]
async fn replicas_under_all_faults_mixed_lose_nothing_for_a_long_time() {
    needs!(Postgres);
    for_a_long_time(async |seed| {
        let service = if seed % 4 == 0 { Service::TwoAlone } else { Service::Replicas };
        let figures = trial((Kind::Postgres, service), &shuffled(&OF_SEVERAL, seed), 9, seed).await;
        println!("seed {seed} {service:?}: {figures:?}");
        figures
    })
    .await;
}
