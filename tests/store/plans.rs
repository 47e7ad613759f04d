//! PostgreSQL's plans for statements that must stay cheap however much is stored.

use tasklane::store::postgres::PostgresStore;

use crate::fixture::{PostgresDatabase, on_store_runtime, run};

/// The plans of statements in a session of the store, each with its arguments.
fn plans(statements: &[(String, String)]) -> Vec<String> {
    let database = PostgresDatabase::create();
    run(async {
        use tasklane::store::Store;
        database.connect(|_| ()).await.close().await;
    });
    let (client, statements) = (database.client(), statements.to_vec());
    on_store_runtime(async move {
        client
            .batch_execute(
                "INSERT INTO users (id, subject, seq)
                    SELECT md5('u' || g)::uuid, 'subject ' || g, 1 FROM generate_series(1, 50000) g;
                 INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title)
                    SELECT id, id, now(), now(), 1, false, 'x' FROM users;
                 INSERT INTO tombstones SELECT id, id, 1, now() FROM users;
                 INSERT INTO idempotency_keys
                    SELECT id, 'key', decode(repeat('00', 32), 'hex'), 'x', now() FROM users;
                 ANALYZE; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off",
            )
            .await
            .unwrap();
        let mut plans = Vec::new();
        for (sql, arguments) in statements {
            client.batch_execute(&format!("PREPARE s AS {sql}")).await.unwrap();
            let rows = client.query(&format!("EXPLAIN EXECUTE s({arguments})"), &[]).await.unwrap();
            plans.push(rows.iter().map(|row| row.get(0)).collect::<Vec<&str>>().join("\n"));
            client.batch_execute("DEALLOCATE s").await.unwrap();
        }
        plans
    })
}

#[test]
fn commits_purges_and_reads_go_by_key_whatever_the_planner_knows() {
    needs!(Postgres);
    let [advance, erase, load, seqs, known] = PostgresStore::statements().map(str::to_owned);
    let parameters = |sql: &str| (1..100).take_while(|number| sql.contains(&format!("${number}::"))).count();
    let nothing = vec!["'{}'"; parameters(&advance)].join(", ");
    let plans = plans(&[
        (advance, nothing.clone()),
        (erase, nothing),
        (include_str!("../../src/store/postgres/sql/purge_tombstones.sql").to_owned(), "now()".to_owned()),
        (include_str!("../../src/store/postgres/sql/purge_keys.sql").to_owned(), "now(), 100".to_owned()),
        (
            include_str!("../../src/store/postgres/sql/forget.sql").to_owned(),
            "gen_random_uuid(), 1".to_owned(),
        ),
        (load, "gen_random_uuid(), 1".to_owned()),
        (seqs, "'{}'".to_owned()),
        (known, "'{}'".to_owned()),
    ]);
    let indexes: [&[&str]; 8] = [
        &["users_pkey", "users_email_key", "tasks_pkey", "tombstones_pkey"],
        &["users_pkey", "users_email_key", "tasks_pkey", "tombstones_pkey", "idempotency_keys_pkey"],
        &["users_pkey", "tombstones_deleted_at_idx", "tombstones_pkey"],
        &["users_pkey", "idempotency_keys_kept_at_idx", "idempotency_keys_pkey"],
        &["users_pkey", "tombstones_pkey"],
        &["users_pkey", "tasks_pkey", "tombstones_pkey"],
        &["users_pkey"],
        &["users_pkey"],
    ];
    // Users' rows are locked in the order of the batches: one loop over these.
    for plan in &plans[..2] {
        let lines: Vec<_> = plan.lines().map(str::trim_start).collect();
        let update = lines.iter().position(|line| line.contains("Update on users")).unwrap();
        let starts =
            ["->  Nested Loop", "->  CTE Scan on batch b", "->  Index Scan using users_pkey on users u"];
        for (line, start) in lines[update + 1..].iter().zip(starts) {
            assert!(line.starts_with(start), "{start}: {plan}");
        }
        let sorted = lines.iter().position(|line| *line == "CTE batch").unwrap();
        assert!(lines[sorted + 1].starts_with("->  Sort"), "{plan}");
    }
    for (plan, indexes) in plans.iter().zip(indexes) {
        for index in indexes {
            assert!(plan.contains(index), "{index}: {plan}");
        }
        // As a join with all rows would need.
        for slow in ["Seq Scan", "Hash Join", "Merge Join"] {
            assert!(!plan.contains(slow), "{plan}");
        }
    }
}
