//! The plain server, as one would write it first: every request is one statement on a pooled connection, on
//! the same tables; every write is an autocommit. It checks no token, which is in its favour.

use std::time::Duration;
use std::{io, process};

use actix_web::error::{ErrorInternalServerError, ErrorNotFound};
use actix_web::web::{self, Data, Json, Path};
use actix_web::{App, Error, HttpResponse, HttpServer};
use chrono::{DateTime, Utc};
use clap::Parser;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

/// Serves tasks, one statement per request.
#[derive(Parser)]
struct Options {
    /// postgres://…
    url: String,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    #[arg(long, default_value_t = 10)]
    pool: usize,
}

#[derive(Serialize)]
struct Task {
    id: Uuid,
    user_id: Uuid,
    title: String,
    description: Option<String>,
    completed: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

#[derive(Deserialize)]
struct NewTask {
    title: String,
    description: Option<String>,
}

#[derive(Serialize)]
struct List {
    count: usize,
    tasks: Vec<Task>,
}

const COLUMNS: &str = "id, user_id, title, description, completed, created_at, updated_at, version";

impl Task {
    fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            user_id: row.get(1),
            title: row.get(2),
            description: row.get(3),
            completed: row.get(4),
            created_at: row.get(5),
            updated_at: row.get(6),
            version: row.get(7),
        }
    }
}

async fn query(pool: &Pool, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    let client = pool.get().await.map_err(ErrorInternalServerError)?;
    let statement = client.prepare_cached(sql).await.map_err(ErrorInternalServerError)?;
    client.query(&statement, params).await.map_err(ErrorInternalServerError)
}

async fn list(pool: Data<Pool>, user: Path<Uuid>) -> Result<HttpResponse, Error> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC");
    let tasks: Vec<Task> = query(&pool, &sql, &[&*user]).await?.iter().map(Task::of).collect();
    Ok(HttpResponse::Ok().json(List { count: tasks.len(), tasks }))
}

async fn get(pool: Data<Pool>, path: Path<(Uuid, Uuid)>) -> Result<HttpResponse, Error> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2");
    one(&query(&pool, &sql, &[&path.0, &path.1]).await?)
}

async fn create(pool: Data<Pool>, user: Path<Uuid>, new: Json<NewTask>) -> Result<HttpResponse, Error> {
    let sql = format!(
        "INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at, version)
         VALUES ($1, $2, $3, $4, false, now(), now(), 1) RETURNING {COLUMNS}"
    );
    let rows = query(&pool, &sql, &[&*user, &Uuid::now_v7(), &new.title, &new.description]).await?;
    Ok(HttpResponse::Created().json(Task::of(rows.first().ok_or_else(|| ErrorNotFound("no row"))?)))
}

async fn complete(pool: Data<Pool>, path: Path<(Uuid, Uuid)>) -> Result<HttpResponse, Error> {
    let sql = format!(
        "UPDATE tasks SET completed = NOT completed, updated_at = now(), version = version + 1
         WHERE user_id = $1 AND id = $2 RETURNING {COLUMNS}"
    );
    one(&query(&pool, &sql, &[&path.0, &path.1]).await?)
}

fn one(rows: &[Row]) -> Result<HttpResponse, Error> {
    let row = rows.first().ok_or_else(|| ErrorNotFound("Task not found"))?;
    Ok(HttpResponse::Ok().json(Task::of(row)))
}

async fn serve(options: Options) -> io::Result<()> {
    let config = options.url.parse().map_err(io::Error::other)?;
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let pool = Pool::builder(Manager::from_config(config, NoTls, recycling)).max_size(options.pool).build();
    let pool = Data::new(pool.map_err(io::Error::other)?);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(pool.clone())
            .route("/api/{user_id}/tasks", web::get().to(list))
            .route("/api/{user_id}/tasks", web::post().to(create))
            .route("/api/{user_id}/tasks/{id}", web::get().to(get))
            .route("/api/{user_id}/tasks/{id}/complete", web::patch().to(complete))
    })
    .workers(options.workers)
    .keep_alive(Duration::from_secs(75))
    .tcp_nodelay(true)
    .bind(("127.0.0.1", 0))?;
    println!("http://{}", server.addrs()[0]);
    server.run().await
}

fn main() {
    if let Err(error) = actix_web::rt::System::new().block_on(serve(Options::parse())) {
        eprintln!("plain: {error}");
        process::exit(1);
    }
}
