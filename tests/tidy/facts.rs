//! One place per fact: in how many files of `src` (and of the migrations) a task's field, a route and a setting
//! stand. `scripts/fact-count` prints the tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{code, is_name, root, rust_files, without_tests};

/// Files that a new field of a task, a new route and a new setting may touch at most.
const MOST: [(&str, usize); 3] = [("a task's field", 8), ("a route", 3), ("a setting", 2)];

/// The field that is like any other: nullable, sortable, and with no feature of its own that names it.
const PLAIN_FIELD: &str = "position";

/// Settings that stand in more files, each with its reason.
const WIDE_SETTINGS: [(&str, &str); 7] = [
    ("allow_unsafe_store", "development implies it"),
    ("better_auth_secret", "it signs tokens and tickets, and verifies them"),
    ("database_url", "every command that opens a store names it"),
    ("environment", "it decides what others default to"),
    ("max_connections", "the limit of open files lowers it"),
    ("metrics_listen", "without it `/metrics` is a route of the main listener"),
    ("mode", "the store looks out for other processes, and reads ask it for newer state"),
];

/// The code of `src` without comments, tests and fuzz targets, by file.
fn sources() -> BTreeMap<String, String> {
    let files = rust_files(&root().join("src")).into_iter();
    let files = files.filter(|(file, _)| !file.ends_with("tests.rs") && !file.ends_with("fuzzing.rs"));
    files.map(|(file, text)| (file, without_tests(&code(&text)).to_owned())).collect()
}

/// The migrations' statements, by file.
fn migrations() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for store in ["postgres", "sqlite"] {
        for entry in std::fs::read_dir(root().join("migrations").join(store)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap().replace("--", "//");
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.insert(format!("migrations/{store}/{name}"), code(&text));
        }
    }
    found
}

/// Whether `word` stands in `code` as a whole word that is neither called nor a variable that is being bound.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(index, _)| {
        let (before, after) = (&code[..index], &code[index + word.len()..]);
        !before.ends_with(is_name) && !after.starts_with(is_name) && !after.starts_with('(')
    })
}

/// The files in which any of these words stands.
fn files_with<'a>(files: &'a BTreeMap<String, String>, words: &[&str]) -> Vec<&'a str> {
    let found = files.iter().filter(|(_, code)| words.iter().any(|word| names(code, word)));
    found.map(|(file, _)| file.as_str()).collect()
}

/// The fields of a struct, with their types.
fn fields_of<'a>(code: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let (_, body) =
        code.split_once(&format!("pub struct {name} {{")).expect("the struct is where it is expected");
    let (body, _) = body.split_once("\n}").unwrap();
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    fields.map(|(field, kind)| (field, kind.trim_end_matches(','))).collect()
}

fn print(what: &str, most: usize, rows: &[(String, Vec<&str>)]) {
    println!("\n{what}: at most {most} files");
    for (fact, files) in rows {
        println!("  {fact:<24} {:>2}  {}", files.len(), files.join(" "));
    }
}

fn check(kind: usize, rows: &[(String, Vec<&str>)], counts: impl Fn(&str) -> bool) {
    let (what, most) = MOST[kind];
    print(what, most, rows);
    for (fact, files) in rows.iter().filter(|(fact, _)| counts(fact)) {
        assert!(
            files.len() <= most,
            "{what} stands in at most {most} files; `{fact}` stands (as any name in code, a local's included) in {files:#?}"
        );
    }
}

#[test]
fn a_field_of_a_task_stands_in_few_files() {
    let mut files = sources();
    let task = files["domain/task.rs"].clone();
    files.extend(migrations());
    let nullable = fields_of(&task, "TaskContent").into_iter().filter_map(|(field, kind)| {
        let kind = kind.strip_prefix("Option<")?.trim_end_matches('>');
        Some((field.to_owned(), files_with(&files, &[field, kind])))
    });
    let rows: Vec<_> = nullable.collect();
    assert!(
        rows.iter().any(|(field, _)| field == PLAIN_FIELD),
        "{PLAIN_FIELD} is no nullable field any more"
    );
    check(0, &rows, |field| field == PLAIN_FIELD);
}

#[test]
fn a_route_stands_in_few_files() {
    let files = sources();
    let table = files["http/routes.rs"].rsplit_once("routes! {").unwrap().1.split_once("\n}").unwrap().0;
    let handlers: BTreeSet<_> = table
        .replace("Api::", "")
        .split("::")
        .skip(1)
        .map(|rest| rest.split(|character| !is_name(character)).next().unwrap_or_default().to_owned())
        .filter(|name| name.contains('_'))
        .collect();
    assert!(handlers.len() > 15, "the table of routes is not found");
    let defined = |handler: &String| format!("{handler}(");
    let rows: Vec<_> = handlers
        .iter()
        .map(|handler| {
            let named =
                files.iter().filter(|(_, code)| names(code, handler) || code.contains(&defined(handler)));
            (handler.clone(), named.map(|(file, _)| file.as_str()).collect())
        })
        .collect();
    check(1, &rows, |_| true);
}

#[test]
fn a_setting_stands_in_few_files() {
    let files = sources();
    let mut rows = Vec::new();
    for (file, config) in files.iter().filter(|(file, _)| file.starts_with("config/")) {
        for part in config.split("#[arg(").skip(1) {
            let Some((setting, _)) = part.split_once("pub ").and_then(|(_, rest)| rest.split_once(": "))
            else {
                continue;
            };
            let used = format!(".{setting}");
            let elsewhere = files.iter().filter(|(other, code)| *other != file && names_field(code, &used));
            let all =
                std::iter::once(file.as_str()).chain(elsewhere.map(|(file, _)| file.as_str())).collect();
            rows.push((setting.to_owned(), all));
        }
    }
    rows.sort();
    rows.dedup();
    assert!(rows.len() > 20, "the settings are not found");
    check(2, &rows, |setting| !WIDE_SETTINGS.iter().any(|(wide, _)| *wide == setting));
}

/// Whether a field such as `.port` is read in `code`.
fn names_field(code: &str, field: &str) -> bool {
    code.match_indices(field).any(|(index, _)| {
        let (before, after) = (&code[..index], &code[index + field.len()..]);
        let of_config = ["config", "http", "auth", "lane", "store", "telemetry"];
        of_config.iter().any(|owner| before.ends_with(owner))
            && !after.starts_with(is_name)
            && !after.starts_with('(')
    })
}
