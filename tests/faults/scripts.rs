//! The faults, script by script.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::fault::{Fault, OF_POSTGRES, OF_SEVERAL, OF_SQLITE};
use crate::field::Service;
use crate::needs::{Need, is_missing};
use crate::support::Kind;
use crate::trial::{Figures, trial};

/// Each becomes a test of one server: which store, which faults in turn, how many, from which seed.
macro_rules! scripts {
    ($($name:ident: $kind:ident, [$($fault:ident),+], $rounds:literal, $seed:literal;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if needed(Kind::$kind, &[$(Fault::$fault),+]).any(is_missing) {
                return;
            }
            let figures = trial((Kind::$kind, Service::One), &[$(Fault::$fault),+], $rounds, $seed).await;
            println!("{figures:?}; violations: 0");
        }
    )+};
}

scripts! {
    a_server_killed_again_and_again_loses_nothing_on_sqlite: Sqlite, [KillServer], 6, 1;
    a_server_killed_again_and_again_loses_nothing_on_postgres: Postgres, [KillServer], 6, 2;
    stops_under_load_answer_truly_and_end_well_on_sqlite: Sqlite, [StopServerAtOnce, PauseServer], 4, 3;
    stops_under_load_answer_truly_and_end_well_on_postgres: Postgres, [StopServerAtOnce, PauseServer], 4, 4;
    a_dead_servers_late_commit_meets_the_fence_on_postgres: Postgres, [LateCommit], 4, 13;
    postgres_killed_loses_nothing: Postgres, [KillPostgres, RestartPostgres, KillBoth], 3, 5;
    connections_ended_by_postgres_lose_nothing: Postgres, [TerminateBackends, PauseBackends], 3, 6;
    cut_connections_and_lost_answers_lose_nothing: Postgres, [CutAnswer, CutMidway, Reset, Refuse], 5, 7;
    silent_and_slow_connections_lose_nothing: Postgres, [Deaf, Slow, BlackHoleForLong], 3, 8;
    a_file_locked_by_another_program_loses_nothing_on_sqlite: Sqlite, [LockFile], 2, 10;
    files_that_may_not_grow_refuse_writes_and_lose_nothing_on_sqlite: Sqlite, [LimitFiles], 1, 14;
    a_full_disk_refuses_writes_and_loses_nothing_on_sqlite: Sqlite, [FillDisk, KillServer], 3, 15;
    a_full_disk_refuses_writes_and_loses_nothing_on_postgres: Postgres, [FillDisk, FillLog], 2, 16;
    connections_used_up_and_rows_locked_lose_nothing: Postgres, [UseUpConnections, LockUser], 3, 9;
}

/// What a run of these faults needs.
fn needed(kind: Kind, faults: &[Fault]) -> impl Iterator<Item = Need> {
    let of_disks = [Fault::FillDisk, Fault::FillLog];
    let disk = faults.iter().any(|fault| of_disks.contains(fault)).then_some(Need::Mount);
    (kind == Kind::Postgres).then_some(Need::Postgres).into_iter().chain(disk)
}

/// Everything that was carried out before the server stopped was answered.
async fn stop_under_load(kind: Kind, seed: u64) {
    let figures = trial((kind, Service::One), &[Fault::StopServer], 4, seed).await;
    assert_eq!(figures.unanswered, 0, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_answers_all_it_carried_out_on_sqlite() {
    stop_under_load(Kind::Sqlite, 11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_answers_all_it_carried_out_on_postgres() {
    needs!(Postgres);
    stop_under_load(Kind::Postgres, 12).await;
}

/// A different order for each seed; one run uses a part of it.
pub fn shuffled(faults: &[Fault], seed: u64) -> Vec<Fault> {
    let mut faults = faults.to_vec();
    faults.shuffle(&mut StdRng::seed_from_u64(seed));
    faults
}

/// All faults of a store, mixed, run after run, until `FAULT_MINUTES` are over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form: started by tests/faults/run"]
async fn all_faults_mixed_lose_nothing_for_a_long_time() {
    needs!(Postgres);
    for_a_long_time(async |seed| {
        let (service, faults) = match seed % 5 {
            0 | 1 => ((Kind::Postgres, Service::One), shuffled(&OF_POSTGRES, seed)),
            2 => ((Kind::Sqlite, Service::One), OF_SQLITE.to_vec()),
            3 => ((Kind::Postgres, Service::Replicas), shuffled(&OF_SEVERAL, seed)),
            _ => ((Kind::Postgres, Service::TwoAlone), shuffled(&OF_SEVERAL, seed)),
        };
        let figures = trial(service, &faults, 9, seed).await;
        println!("seed {seed} {service:?}: {figures:?}");
        figures
    })
    .await;
}

/// Seed after seed, from `FAULT_SEED` on, until `FAULT_MINUTES` are over; prints the sum.
pub async fn for_a_long_time(run: impl AsyncFn(u64) -> Figures) {
    let minutes = std::env::var("FAULT_MINUTES").map_or(30, |text| text.parse().expect("a number"));
    let first: u64 = std::env::var("FAULT_SEED").map_or(1_000, |text| text.parse().expect("a number"));
    let end = Instant::now() + Duration::from_mins(minutes);
    let mut sum = Figures::default();
    for seed in (first..first + 100_000).take_while(|_| Instant::now() < end) {
        sum.add(run(seed).await);
    }
    println!("{}", sum.line());
}
