//! The attacks, by the rows of the table in docs/reliability.md, and those that are not defended yet.

use crate::run::Attack;
use crate::{accounts, batches, bodies, connections, keys, lists, logs, refusals, streams};

/// `row: module::attack, "what one user does", field: value…`
macro_rules! attack {
    ($row:literal, $module:ident::$strike:ident, $what:literal $(, $field:ident: $value:expr)*) => {
        Attack {
            $($field: $value,)*
            ..Attack {
                row: $row,
                what: $what,
                strike: |site| Box::pin($module::$strike(site)),
                quick: &[],
                settings: &[],
                shell: None,
            }
        }
    };
}

/// A developer's machine, where every request has a line in the log.
const DEVELOPMENT: &[(&str, &str)] = &[("ENVIRONMENT", "development")];

/// A cache that one user's data exceed, and `/metrics` on the same address.
const LESS_THAN_ONE_USER: &[(&str, &str)] =
    &[("ENVIRONMENT", "development"), ("LOG_REQUESTS", "problems"), ("CACHE_MAX_BYTES", "67108864")];

/// Production, where nothing needs to be kept in memory: the bound on it is so much lower.
const SMALL_CACHE: &[(&str, &str)] = &[("ENVIRONMENT", "production"), ("CACHE_MAX_BYTES", "33554432")];

/// For the quick form of attacks with less than the whole cache.
const SMALLER_CACHE: &[(&str, &str)] = &[("CACHE_MAX_BYTES", "67108864")];

/// Bytes that one user may take of the store, so few that they are reached within seconds.
const SMALL_QUOTA: &[(&str, &str)] = &[("ENVIRONMENT", "production"), ("MAX_BYTES_PER_USER", "2097152")];

/// The same, for what is small.
const TINY_QUOTA: &[(&str, &str)] = &[("ENVIRONMENT", "production"), ("MAX_BYTES_PER_USER", "524288")];

pub const ATTACKS: &[Attack] = &[
    attack!("1", batches::flip_one_large_task, "batches of 500 flips of one large task, 120 or 300 at once"),
    attack!("2", lists::render, "4 connections flip one of 32,000 tasks and read the list"),
    attack!("3", lists::read_slowly, "60 connections change an 18 MB list and read it slowly",
        quick: SMALLER_CACHE),
    attack!("4", keys::large_batches, "such batches, each with an Idempotency-Key"),
    attack!("5", lists::search_and_leave, "searches through many large tasks, hanging up at once"),
    attack!("6", batches::create_and_delete, "creates and deletes in a loop", settings: SMALL_QUOTA),
    attack!("7", accounts::idle_imports, "4 idle connections to /import"),
    attack!("8", bodies::unfinished, "4 users, 90 unfinished bodies of 2 MiB each",
        settings: SMALL_CACHE),
    attack!("9", streams::larger_than_the_cache, "a user larger than the cache, with an open stream",
        settings: LESS_THAN_ONE_USER,
        quick: &[("CACHE_MAX_BYTES", "16777216"), ("MAX_BYTES_PER_USER", "16777216")]),
    attack!("10", connections::idle, "one address opens more connections than there may be",
        quick: &[("MAX_CONNECTIONS", "1000")]),
    attack!("11", refusals::without_token, "requests without a token, as fast as they go"),
    attack!("12", accounts::import_and_erase, "two users import and erase in a loop", quick: SMALLER_CACHE),
    attack!("13", logs::lines, "requests while nobody reads the log's pipe",
        settings: DEVELOPMENT, shell: Some(logs::UNREAD)),
    attack!("14", logs::lines, "requests while the log's disk is full",
        settings: DEVELOPMENT, shell: Some(logs::FULL)),
    attack!("14b", logs::lines, "requests while the reader of the log's pipe has gone",
        settings: DEVELOPMENT, shell: Some(logs::GONE)),
    attack!("15", batches::large_texts, "batches of 500 updates with 2,000 characters each"),
    attack!("16", keys::one_large_task, "flips of one large task, each with an Idempotency-Key"),
    attack!("17", keys::longest, "creates that find their task, each under a key of 255 characters",
        settings: TINY_QUOTA),
    attack!("18", lists::sort, "pages of one task, sorted by title"),
    attack!("19", lists::search_long, "searches for 190 characters that nearly match"),
    attack!("20", lists::export_slowly, "60 connections change tasks and read the export slowly"),
    attack!("21", lists::changes_slowly, "60 connections change tasks and read the feed slowly"),
    attack!("22", lists::pipeline, "50 connections ask for an 18 MB list again and again, and read nothing"),
    attack!("23", accounts::parallel_imports, "8 users send the largest imports at once",
        quick: SMALLER_CACHE),
    attack!("24", accounts::erase_again, "erasures of an empty account, again and again"),
    attack!("25", bodies::slow, "500 bodies, a byte at a time"),
    attack!("26", connections::slow_heads, "2,000 heads, a byte at a time"),
    attack!("27", bodies::deep, "JSON 60,000 levels deep"),
    attack!("28", bodies::wrong, "batches with thousands of wrong fields"),
    attack!("29", bodies::stale, "refused conditional writes of a large task, 64 at once"),
    attack!("30", streams::unread, "600 event streams that are never read, while large tasks change"),
    attack!("31", refusals::invalid_tokens, "invalid tokens of 7 KB"),
    attack!("32", refusals::missing_tasks, "requests for a task that is not there, as fast as they go"),
    attack!("33", refusals::head_and_options, "HEAD and OPTIONS, as fast as they go"),
    attack!("34", refusals::tickets, "tickets of 400 users"),
    attack!("35", connections::open_and_reset, "connections that are opened and reset"),
    attack!("36", batches::fill_the_list, "the largest tasks, in the largest batches", settings: SMALL_QUOTA),
    attack!("37", connections::unread, "96 connections send many small requests, and read nothing",
        settings: SMALL_CACHE),
    attack!("38", lists::search_by_many, "6 users search many tasks, each with 4 requests at once"),
];

/// Attacks that some bound does not hold against, and why. They are carried out all the same, and what they do is
/// in the table; a defence takes its line away.
pub const PENDING: &[(&str, &str)] = &[
    ("9", "a user larger than the cache takes several times its size while PostgreSQL's rows are read"),
    ("37", "memory holds; on a busy machine the victim waits while 96 connections have their turns"),
];
