//! What every store promises: each case runs on every store.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tasklane::domain::{
    Description, DueDate, Position, Priority, Seq, Tags, Task, TaskContent, TaskId, Timestamp, Title,
};
use tasklane::store::{Outcome, Recalled};

use crate::fixture::{Database, User, commit, delete, load, put, recall, run, task, tombstones};

on_both_stores! {
    a_user_who_never_wrote_is_unknown
    tasks_are_made_changed_deleted_and_made_again
    every_value_comes_back_as_it_went_in
    every_field_that_can_be_unset_is_unset_again
    each_column_holds_the_field_of_its_name
    a_load_tells_every_deletion_by_its_seq
    only_the_expected_seq_passes_the_fence
    a_batch_sent_again_is_applied_once
    five_changes_of_one_task_are_one_row_and_five_steps
    a_bad_batch_fails_alone
    of_two_new_users_with_one_address_one_keeps_it_and_both_commit
    an_address_changes_only_to_one_that_is_free
    five_hundred_and_twelve_users_commit_in_one_group
    racing_committers_of_one_user_have_one_winner_per_seq
    a_dropped_call_does_not_stop_its_commit
    everything_is_there_after_reopening
    a_closed_store_refuses_and_does_not_hang
}

async fn a_user_who_never_wrote_is_unknown(database: Database) {
    let store = database.open().await;
    let user = User::new();
    assert_eq!(load(&*store, &user).await, None);
    assert_eq!(recall(&*store, &user, "key").await, Recalled { seq: Seq::ZERO, record: None });
    store.ping().await.unwrap();
    assert!(store.pool().size >= 1);
}

async fn tasks_are_made_changed_deleted_and_made_again(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let (a, b) = (TaskId::generate(), TaskId::generate());
    let first = task(a, "first", 1);
    let second = task(b, "second", 2);
    let batch = user.batch(0, vec![put(&first), put(&second)]);
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!(stored.subject, user.subject);
    assert_eq!((stored.email, stored.seq), (None, Seq::new(2)));
    assert_eq!(stored.tasks, [first.clone(), second.clone()]);

    let mut changed = task(a, "changed", 3);
    changed.content.description = None;
    let batch = user.batch(2, vec![put(&changed), delete(b, 4)]);
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.seq, stored.tasks), (Seq::new(4), vec![changed.clone()]));
    assert_eq!(stored.tombstones, tombstones(&[(4, b)]));

    // Created again with another creation time, then deleted and created once more.
    let again = Task { created_at: Timestamp::from_micros(5), ..task(b, "again", 5) };
    assert_eq!(commit(&*store, user.batch(4, vec![put(&again)])).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    let mut tasks = vec![changed.clone(), again];
    tasks.sort_by_key(|task| task.id);
    assert_eq!((stored.tasks, stored.tombstones), (tasks, vec![]));
    assert_eq!(commit(&*store, user.batch(5, vec![delete(b, 6)])).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.tasks, stored.tombstones), (vec![changed], tombstones(&[(6, b)])));
}

async fn every_value_comes_back_as_it_went_in(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let title = "\u{1F980}".repeat(Title::MAX);
    let long = "\u{10FFFF}".repeat(Description::MAX);
    let tags: Vec<String> = (10..30).map(|n| format!("{n}{}", "\u{1F980}".repeat(48))).collect();
    let odd = ["\"\\'{}[],", "null", "\u{1}\u{7f}\u{2028}", "NULL"].map(str::to_owned).to_vec();
    let due = ["2026-02-28", "2026-02-28t10:30:00z", "2026-02-28T10:30:00.123456789+05:30"];
    let due: Vec<_> = due.iter().map(|text| DueDate::parse(text)).chain([None]).collect();
    let positions =
        [None, Position::parse("a"), Position::parse(&" ~\"\\'".repeat(12)), Position::parse("0")];
    let descriptions = [None, Some(String::new()), Some("'\"\\{},\n\u{1}NULL null".to_owned()), Some(long)];
    let mut tasks = Vec::new();
    for (place, description) in descriptions.into_iter().enumerate() {
        let at = i64::try_from(place).unwrap() + 1;
        let content = TaskContent {
            title: Title::parse(&title).unwrap(),
            description: description.map(|text| Description::parse(&text).unwrap()),
            completed: at % 2 == 0,
            priority: Priority::ALL.get(place).copied(),
            tags: Tags::from_store([vec![], tags.clone(), odd.clone(), vec!["x".to_owned()]][place].clone()),
            due_date: due[place].clone(),
            position: positions[place].clone(),
        };
        tasks.push(Task {
            id: TaskId::generate(),
            content,
            completed_at: (at % 2 == 0).then_some(Timestamp::from_micros(-1_234_567)),
            created_at: Timestamp::from_micros(-1),
            updated_at: Timestamp::from_micros(253_402_300_799_999_999),
            version: Seq::new(at),
        });
    }
    tasks.sort_by_key(|task| task.id);
    let batch = user.batch(0, tasks.iter().map(put).collect());
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    assert_eq!(load(&*store, &user).await.unwrap().tasks, tasks);
}

async fn every_field_that_can_be_unset_is_unset_again(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let mut full = task(TaskId::generate(), "full", 1);
    full.content = TaskContent {
        priority: Some(Priority::High),
        tags: Tags::from_store(vec!["b".to_owned(), "a".to_owned()]),
        due_date: DueDate::parse("2026-02-28"),
        position: Position::parse("a0"),
        completed: true,
        ..full.content
    };
    full.completed_at = Some(Timestamp::from_micros(7));
    let bare = Task {
        content: TaskContent::titled(full.content.title.clone()),
        completed_at: None,
        version: Seq::new(2),
        ..full.clone()
    };
    let again = Task { version: Seq::new(3), ..full.clone() };
    for (expected, state) in (0..).zip([full, bare, again]) {
        assert_eq!(commit(&*store, user.batch(expected, vec![put(&state)])).await, Outcome::Committed);
        assert_eq!(load(&*store, &user).await.unwrap().tasks, [state]);
    }
}

async fn each_column_holds_the_field_of_its_name(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let mut expected = task(TaskId::generate(), "as it was", 1);
    assert_eq!(commit(&*store, user.batch(0, vec![put(&expected)])).await, Outcome::Committed);
    database.execute(
        "UPDATE tasks SET title = 'the title', description = 'the description', priority = 'high',
            tags = '[\"the tag\"]', due_date = '2026-07-08', position = 'the position'",
    );
    expected.content = TaskContent {
        title: Title::parse("the title").unwrap(),
        description: Some(Description::parse("the description").unwrap()),
        priority: Some(Priority::High),
        tags: Tags::parse(["the tag"]).unwrap(),
        due_date: DueDate::parse("2026-07-08"),
        position: Position::parse("the position"),
        ..expected.content
    };
    assert_eq!(load(&*store, &user).await.unwrap().tasks, [expected]);
}

async fn a_load_tells_every_deletion_by_its_seq(database: Database) {
    let store = database.open().await;
    let (user, stranger) = (User::new(), User::new());
    let ids: Vec<_> = (0..6).map(|_| TaskId::generate()).collect();
    let made: Vec<_> = (1..).zip(&ids).map(|(seq, id)| task(*id, "made", seq)).collect();
    for user in [&user, &stranger] {
        let batch = user.batch(0, made.iter().map(put).collect());
        assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    }
    let moved = task(ids[0], "moved", 9);
    let batch = user.batch(6, vec![delete(ids[3], 7), delete(ids[1], 8), put(&moved)]);
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!(stored.tombstones, tombstones(&[(7, ids[3]), (8, ids[1])]));
    let versions: BTreeSet<_> = stored.tasks.iter().map(|task| task.version.get()).collect();
    assert_eq!(versions, BTreeSet::from([3, 5, 6, 9]));
    assert_eq!(stored.horizon, Seq::ZERO);
    assert_eq!(load(&*store, &stranger).await.unwrap().tombstones, []);
}

async fn only_the_expected_seq_passes_the_fence(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let id = TaskId::generate();
    let early = user.batch(1, vec![put(&task(id, "too early", 2))]);
    assert_eq!(commit(&*store, early).await, Outcome::Conflict);
    assert_eq!(load(&*store, &user).await, None, "a conflict creates no user");
    let kept = task(id, "kept", 1);
    assert_eq!(commit(&*store, user.batch(0, vec![put(&kept)])).await, Outcome::Committed);
    for wrong in [0, 2, 3] {
        let batch = user.batch(wrong, vec![put(&task(id, "late", 9)), delete(id, 10)]);
        assert_eq!(commit(&*store, batch).await, Outcome::Conflict);
    }
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.seq, &stored.tasks), (Seq::new(1), &vec![kept]));
    assert_eq!(stored.tombstones, [], "a conflict creates no tombstone");
}

async fn a_batch_sent_again_is_applied_once(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let id = TaskId::generate();
    let first = user.batch(0, vec![put(&task(id, "first", 1))]);
    for _ in 0..3 {
        assert_eq!(commit(&*store, first.clone()).await, Outcome::Committed);
    }
    let second = user.batch(1, vec![delete(id, 2)]);
    for _ in 0..3 {
        assert_eq!(commit(&*store, second.clone()).await, Outcome::Committed);
    }
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.seq, stored.tasks), (Seq::new(2), vec![]));
    assert_eq!(commit(&*store, first).await, Outcome::Conflict, "only the last batch is recognised");
}

async fn five_changes_of_one_task_are_one_row_and_five_steps(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let last = task(TaskId::generate(), "the fifth state", 5);
    let mut batch = user.batch(0, vec![put(&last)]);
    batch.reached = Seq::new(5);
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.seq, stored.tasks), (Seq::new(5), vec![last]));
}

async fn a_bad_batch_fails_alone(database: Database) {
    let store = database.open().await;
    let secret = "sesame";
    for bad in [secret.repeat(50), format!("{secret}\0"), String::new()] {
        let users: Vec<_> = (0..5).map(|_| User::new()).collect();
        let tasks: Vec<_> = (0..5).map(|_| task(TaskId::generate(), "good", 1)).collect();
        let spoiled = task(TaskId::generate(), &bad, 2);
        let mut batches = Vec::new();
        for (at, (user, good)) in users.iter().zip(&tasks).enumerate() {
            let mut changes = vec![put(good)];
            if at == 2 {
                changes.push(put(&spoiled));
            }
            batches.push(Arc::new(user.batch(0, changes)));
        }
        let outcomes = store.commit(&batches).await;
        for (at, (user, outcome)) in users.iter().zip(&outcomes).enumerate() {
            if at == 2 {
                let Outcome::Rejected(reason) = outcome else { panic!("{outcome:?}") };
                assert!(!reason.contains(secret), "{reason}");
                assert_eq!(load(&*store, user).await, None, "its good half is not applied either");
            } else {
                assert_eq!(*outcome, Outcome::Committed);
                assert_eq!(load(&*store, user).await.unwrap().tasks, [tasks[at].clone()]);
            }
        }
    }
}

async fn of_two_new_users_with_one_address_one_keeps_it_and_both_commit(database: Database) {
    let store = database.open().await;
    let users = [User::new(), User::new()];
    let batches = users.each_ref().map(|user| {
        let mut batch = user.batch(0, vec![put(&task(TaskId::generate(), "first", 1))]);
        batch.email = Some("both@example.com".into());
        Arc::new(batch)
    });
    let outcomes = store.commit(&batches).await;
    assert_eq!(outcomes, [Outcome::Committed, Outcome::Committed]);
    let mut kept = Vec::new();
    for user in &users {
        kept.push(load(&*store, user).await.unwrap().email);
    }
    assert_eq!(kept, [Some("both@example.com".to_owned()), None]);
}

async fn an_address_changes_only_to_one_that_is_free(database: Database) {
    let store = database.open().await;
    let (holder, user) = (User::new(), User::new());
    let mut batch = holder.batch(0, vec![put(&task(TaskId::generate(), "first", 1))]);
    batch.email = Some("held@example.com".into());
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    let long = format!("{}@example.com", "x".repeat(5000));
    let steps = [
        (None, None),
        (Some("held@example.com"), None),
        (Some("one@example.com"), Some("one@example.com")),
        (Some("one@example.com"), Some("one@example.com")),
        (Some("two@example.com"), Some("two@example.com")),
        (None, Some("two@example.com")),
        (Some("held@example.com"), Some("two@example.com")),
        (Some("nul\0@example.com"), Some("two@example.com")),
        (Some(""), Some("two@example.com")),
        (Some(&*long), Some("two@example.com")),
    ];
    for (expected, (asked, kept)) in (0..).zip(steps) {
        let mut batch = user.batch(expected, vec![put(&task(TaskId::generate(), "x", expected + 1))]);
        batch.email = asked.map(Into::into);
        assert_eq!(commit(&*store, batch).await, Outcome::Committed, "{asked:?}");
        assert_eq!(load(&*store, &user).await.unwrap().email.as_deref(), kept, "{asked:?}");
    }
    assert_eq!(load(&*store, &holder).await.unwrap().email.as_deref(), Some("held@example.com"));
}

async fn five_hundred_and_twelve_users_commit_in_one_group(database: Database) {
    let store = database.open().await;
    let users: Vec<_> = (0..512).map(|_| User::new()).collect();
    for round in 0..3 {
        let batches: Vec<_> = users
            .iter()
            .map(|user| {
                let made = task(TaskId::generate(), "one of many", round + 1);
                Arc::new(user.batch(round, vec![put(&made)]))
            })
            .collect();
        assert_eq!(store.commit(&batches).await, vec![Outcome::Committed; users.len()]);
    }
    for user in &users {
        let stored = load(&*store, user).await.unwrap();
        assert_eq!((stored.seq, stored.tasks.len()), (Seq::new(3), 3));
    }
}

async fn racing_committers_of_one_user_have_one_winner_per_seq(database: Database) {
    const RACERS: usize = 8;
    const GOAL: i64 = 40;
    let stores = database.open_twice().await;
    let user = User::new();
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (store, user) = (Arc::clone(&stores[racer % 2]), user.clone());
            std::thread::spawn(move || {
                run(async move {
                    let mut won = Vec::new();
                    loop {
                        let seq = load(&*store, &user).await.map_or(0, |stored| stored.seq.get());
                        if seq >= GOAL {
                            return won;
                        }
                        let made = task(TaskId::generate(), "mine", seq + 1);
                        match commit(&*store, user.batch(seq, vec![put(&made)])).await {
                            Outcome::Committed => won.push(made),
                            Outcome::Conflict => {}
                            other => panic!("{other:?}"),
                        }
                    }
                })
            })
        })
        .collect();
    let mut won: Vec<Task> = racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect();
    won.sort_by_key(|task| task.version);
    let seqs: Vec<_> = won.iter().map(|task| task.version.get()).collect();
    assert_eq!(seqs, (1..=GOAL).collect::<Vec<_>>(), "one winner for every seq");
    let last = load(&*stores[0], &user).await.unwrap();
    won.sort_by_key(|task| task.id);
    assert_eq!((last.seq, last.tasks), (Seq::new(GOAL), won));
}

async fn a_dropped_call_does_not_stop_its_commit(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let batches = [Arc::new(user.batch(0, vec![put(&task(TaskId::generate(), "left alone", 1))]))];
    {
        let mut call = pin!(store.commit(&batches));
        // Begun, and most likely not finished.
        let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    for _ in 0..3000 {
        if load(&*store, &user).await.is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the commit was never carried out");
}

async fn everything_is_there_after_reopening(database: Database) {
    let user = User::new();
    let id = TaskId::generate();
    let kept = task(TaskId::generate(), "kept", 1);
    let store = database.open().await;
    let last = user.batch(1, vec![delete(id, 2)]);
    assert_eq!(commit(&*store, user.batch(0, vec![put(&kept)])).await, Outcome::Committed);
    assert_eq!(commit(&*store, last.clone()).await, Outcome::Committed);
    let before = load(&*store, &user).await;
    store.close().await;
    drop(store);

    let store = database.open().await;
    assert_eq!(load(&*store, &user).await, before);
    let stored = before.clone().unwrap();
    assert_eq!((stored.tasks, stored.tombstones), (vec![kept], tombstones(&[(2, id)])));
    assert_eq!(commit(&*store, last).await, Outcome::Committed, "the last batch is recognised");
    assert_eq!(load(&*store, &user).await, before);
}

async fn a_closed_store_refuses_and_does_not_hang(database: Database) {
    let store = database.open().await;
    let user = User::new();
    store.close().await;
    store.load(user.id).await.unwrap_err();
    store.recall(user.id, "key").await.unwrap_err();
    store.purge(Timestamp::now(), Timestamp::now()).await.unwrap_err();
    store.ping().await.unwrap_err();
    let batch = user.batch(0, vec![put(&task(TaskId::generate(), "too late", 1))]);
    let outcome = commit(&*store, batch).await;
    assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");
    store.close().await;
}
