//! Erasure: all of a user's data is removed.

use reqwest::Method;
use serde_json::json;

use super::{bare, fill, import};
use crate::support::{Server, Store, on_both_stores, send};

on_both_stores!(
    a_confirmed_erasure_removes_all_of_one_user_and_nothing_of_another,
    an_erasure_is_permanent_and_the_seq_continues,
);

async fn a_confirmed_erasure_removes_all_of_one_user_and_nothing_of_another(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user_with_email("ann", "ann@example.com"), server.user("bob"));
    fill(&ann, 20).await;
    fill(&bob, 20).await;
    let keyed =
        ann.request(Method::POST, "/tasks").header("idempotency-key", "k").json(&json!({"title": "k"}));
    send(keyed.try_clone().unwrap()).await.expect(201);
    let (seq, bobs) = (ann.seq().await, bob.get("/tasks").await.body);
    for confirmation in ["", "me", "Ann", "true", "bob"] {
        let request = ann.request(Method::DELETE, "").header("x-confirm-delete", confirmation);
        let refused = send(request).await.expect_error(428, "PRECONDITION_REQUIRED");
        assert_eq!(refused.seq(), seq, "{confirmation}");
    }
    ann.call(Method::DELETE, "", None).await.expect_error(428, "PRECONDITION_REQUIRED");
    let twice =
        ann.request(Method::DELETE, "").header("x-confirm-delete", "ann").header("x-confirm-delete", "ann");
    send(twice).await.expect_error(428, "PRECONDITION_REQUIRED");
    // Another user's path is refused, confirmed or not.
    let foreign =
        server.request(Method::DELETE, "/api/bob").bearer_auth(&ann.token).header("x-confirm-delete", "bob");
    send(foreign).await.expect_error(401, "UNAUTHORIZED");
    assert_eq!(ann.seq().await, seq);

    let erased = ann.erase().await.expect(204);
    assert_eq!((erased.seq(), erased.body.len()), (seq + 1, 0));
    assert_eq!((ann.list().await, ann.seq().await), (vec![], seq + 1));
    assert_eq!(ann.get("/export").await.expect(200).json()["tasks"], json!([]));
    assert_eq!(ann.get("/summary").await.expect(200).json()["completed"], 0);
    assert_eq!(bob.get("/tasks").await.body, bobs);
    // The e-mail address is free for another user, and the key is forgotten.
    server.user_with_email("new", "ann@example.com").create("a").await;
    let again = send(keyed).await.expect(201);
    assert_eq!((again.seq(), again.header("idempotent-replayed")), (seq + 2, None));
    // A user whose id is not plain ASCII confirms it percent-encoded, as in a path.
    let zoe = server.user("zoë 1");
    zoe.create("a").await;
    let request = zoe.request(Method::DELETE, "").header("x-confirm-delete", "zo%C3%AB%201");
    assert_eq!(send(request).await.expect(204).seq(), 2);
    // A user without data may be erased, too.
    assert_eq!(server.user("nobody").erase().await.expect(204).seq(), 1);
}

async fn an_erasure_is_permanent_and_the_seq_continues(store: Store) {
    let mut server = Server::start(&store);
    let ann = server.user("ann");
    fill(&ann, 20).await;
    let export = ann.get("/export").await.expect(200).json();
    let seq = ann.seq().await;
    ann.erase().await.expect(204);
    server.kill();
    let mut server = Server::start(&store);
    let ann = server.user("ann");
    // The first request after the restart is a write.
    assert_eq!(ann.create("new").await["version"], seq + 2);
    assert_eq!(ann.list().await.len(), 1);
    ann.erase().await.expect(204);
    server.kill();
    let server = Server::start(&store);
    let ann = server.user("ann");
    assert_eq!((ann.list().await, ann.seq().await), (vec![], seq + 3));
    // Only the user's own copy brings it back.
    let back = import(&ann, &export).await.expect(200).json();
    assert_eq!(back, json!({"imported": 20, "unchanged": 0, "seq": seq + 23}));
    assert_eq!(json!(bare(&ann.list().await)), json!(bare(export["tasks"].as_array().unwrap())));
}
