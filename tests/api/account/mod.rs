//! `/export`, `/import` and `DELETE /api/{user_id}`: all of a user's data at once.
//!
//! - `export_import`: an export comes back the same, elsewhere or later; an import's limits and refusals
//! - `round_trip`: whatever is accepted comes back the same, from both stores
//! - `erase`: all of a user's data is removed for good, if confirmed

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, User, id};

mod erase;
mod export_import;
mod round_trip;

async fn import(user: &User, body: &Value) -> Answer {
    user.call(Method::POST, "/import", Some(body)).await
}

/// Gives a user tasks of every kind, some of them changed and some deleted.
async fn fill(user: &User, count: usize) {
    let create = |number: usize| {
        json!({"op": "create", "task": {"title": format!("{number} 🦀 \"\\"), "description": "ä\n\u{2028}".repeat(number % 50),
            "completed": number.is_multiple_of(3), "priority": (["low", "high"][number % 2]), "tags": ["b", "a"],
            "due_date": "2026-03-01T18:00:00.5+01:00", "position": "a0"}})
    };
    let operations: Vec<_> = (0..count).map(create).collect();
    user.call(Method::POST, "/batch", Some(&json!({"operations": operations}))).await.expect(200);
    for task in user.list().await.iter().step_by(10) {
        user.complete(id(task), None).await.expect(200);
    }
    user.delete(id(&user.create("gone").await)).await.expect(204);
}

/// Tasks without the fields that an import sets itself.
fn bare(tasks: &[Value]) -> Vec<Value> {
    let mut tasks = tasks.to_vec();
    for task in &mut tasks {
        let fields = task.as_object_mut().unwrap();
        fields.remove("version");
        fields.remove("user_id");
    }
    tasks
}
