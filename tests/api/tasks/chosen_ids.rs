//! Ids the client chooses: the same create twice makes one task.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, Store, id, on_both_stores};

on_both_stores!(
    a_chosen_id_is_the_tasks_id,
    an_id_in_another_spelling_is_the_same_id,
    the_same_create_again_gives_the_stored_task,
    another_create_of_the_same_id_conflicts,
    a_create_is_compared_with_the_task_as_it_is_now,
    an_id_that_is_not_a_uuid_is_refused,
    another_user_may_choose_the_same_id,
    a_deleted_id_may_be_chosen_again,
    of_many_same_creates_at_once_one_makes_the_task,
    of_many_different_creates_at_once_one_wins,
);

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

async fn a_chosen_id_is_the_tasks_id(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for chosen in [new_id(), Uuid::now_v7().to_string(), Uuid::nil().to_string(), Uuid::max().to_string()] {
        let answer = ann.post(&json!({"title": "a", "id": chosen})).await.expect(201);
        assert_eq!(answer.json()["id"], chosen);
        assert_eq!(answer.header("location"), Some(format!("/api/ann/tasks/{chosen}").as_str()));
        assert_eq!(ann.task(&chosen).await.expect(200).json(), answer.json());
    }
}

async fn an_id_in_another_spelling_is_the_same_id(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let chosen = Uuid::new_v4();
    let upper = chosen.to_string().to_uppercase();
    let task = ann.post(&json!({"title": "a", "id": upper})).await.expect(201).json();
    assert_eq!(task["id"], chosen.to_string());
    assert_eq!(ann.post(&json!({"title": "a", "id": chosen})).await.expect(200).json(), task);
    assert_eq!(ann.task(&upper).await.expect(200).json(), task);
}

async fn the_same_create_again_gives_the_stored_task(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let (first, second) = (new_id(), new_id());
    let cases: [(&str, Value, Vec<Value>); 2] = [
        (
            &first,
            json!({"title": "a"}),
            vec![
                json!({"title": " a\u{3000}"}),
                json!({"title": "a", "description": null}),
                json!({"title": "a", "completed": false}),
                json!({"title": "a", "colour": "red", "version": 7}),
            ],
        ),
        (
            &second,
            json!({"title": " b ", "description": " ", "completed": true}),
            vec![json!({"title": "b", "description": " ", "completed": true})],
        ),
    ];
    for (chosen, create, same) in cases {
        let with_id = |body: &Value| {
            let mut body = body.clone();
            body["id"] = json!(chosen);
            body
        };
        let made = ann.post(&with_id(&create)).await.expect(201);
        for body in [&create].into_iter().chain(&same) {
            let again = ann.post(&with_id(body)).await;
            assert_eq!(again.status, 200, "{body}: {}", again.text());
            assert_eq!((&again.body, again.seq()), (&made.body, made.seq()), "{body}");
            assert_eq!(again.header("etag"), made.header("etag"));
        }
    }
    assert_eq!(ann.list().await.len(), 2);
    assert_eq!(ann.seq().await, 2);
    server.stop();
    // After a restart it is recognised from the store.
    let server = Server::start(&store);
    server.user("ann").post(&json!({"title": "a", "id": first})).await.expect(200);
}

async fn another_create_of_the_same_id_conflicts(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let chosen = new_id();
    let task = ann.post(&json!({"title": "a", "description": "b", "id": chosen})).await.expect(201).json();
    for other in [
        json!({"title": "A", "description": "b", "id": chosen}),
        json!({"title": "a", "description": "b ", "id": chosen}),
        json!({"title": "a", "description": "", "id": chosen}),
        json!({"title": "a", "id": chosen}),
        json!({"title": "a", "description": "b", "completed": true, "id": chosen}),
    ] {
        ann.post(&other).await.expect_error(409, "CONFLICT");
    }
    assert_eq!(ann.list().await, [task]);
}

async fn a_create_is_compared_with_the_task_as_it_is_now(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let chosen = new_id();
    let create = json!({"title": "a", "id": chosen});
    ann.post(&create).await.expect(201);
    ann.put(&chosen, &json!({"title": "b"})).await.expect(200);
    ann.post(&create).await.expect_error(409, "CONFLICT");
    let now = ann.put(&chosen, &json!({"title": "a"})).await.expect(200).json();
    assert_eq!(ann.post(&create).await.expect(200).json(), now);
}

async fn an_id_that_is_not_a_uuid_is_refused(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for wrong in [
        json!(""),
        json!("7"),
        json!("not-a-uuid"),
        json!(7),
        json!([new_id()]),
        json!(format!("{}0", new_id())),
    ] {
        let answer = ann.post(&json!({"title": "a", "id": wrong})).await;
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.text());
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["id"]);
    }
    assert!(ann.list().await.is_empty());
}

async fn another_user_may_choose_the_same_id(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let chosen = new_id();
    let of_ann = ann.post(&json!({"title": "ann's", "id": chosen})).await.expect(201).json();
    let of_bob = bob.post(&json!({"title": "bob's", "id": chosen})).await.expect(201).json();
    let of_ann = ann.put(id(&of_ann), &json!({"completed": true})).await.expect(200).json();
    assert_eq!((ann.list().await, bob.list().await), (vec![of_ann.clone()], vec![of_bob]));
    bob.delete(&chosen).await.expect(204);
    assert_eq!(ann.list().await, [of_ann]);
    server.stop();
    let server = Server::start(&store);
    assert_eq!(server.user("ann").list().await.len(), 1);
    assert!(server.user("bob").list().await.is_empty());
}

async fn a_deleted_id_may_be_chosen_again(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let chosen = new_id();
    for round in 0..3 {
        let task =
            ann.post(&json!({"title": format!("round {round}"), "id": chosen})).await.expect(201).json();
        assert_eq!(task["version"], 2 * round + 1);
        assert_eq!(ann.list().await, [task]);
        ann.delete(&chosen).await.expect(204);
    }
    ann.post(&json!({"title": "last", "id": chosen})).await.expect(201);
    server.stop();
    assert_eq!(Server::start(&store).user("ann").list().await.len(), 1);
}

async fn of_many_same_creates_at_once_one_makes_the_task(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let body = json!({"title": "a", "id": new_id()});
    let answers = join_all((0..64).map(|_| ann.post(&body))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        assert_eq!((&answer.body, answer.seq()), (&answers[0].body, 1));
    }
    assert_eq!(ann.list().await.len(), 1);
}

async fn of_many_different_creates_at_once_one_wins(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let chosen = new_id();
    let bodies: Vec<_> = (0..64).map(|number| json!({"title": format!("{number}"), "id": chosen})).collect();
    let answers = join_all(bodies.iter().map(|body| ann.post(body))).await;
    let mut winner = None;
    for answer in answers {
        match answer.status {
            201 => assert!(winner.replace(answer.json()).is_none(), "two won"),
            _ => drop(answer.expect_error(409, "CONFLICT")),
        }
    }
    assert_eq!(ann.list().await, [winner.expect("nobody won")]);
}
