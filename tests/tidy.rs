//! Who may import whom, which library may be used where, and how long a file may be.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file at the most.
const LONGEST_FILE: usize = 500;

/// A module, and the modules it may use. `app`, `main` and `lib` may use every one.
const IMPORTS: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("error", &["domain"]),
    ("config", &[]),
    // The settings are part of the command line.
    ("cli", &["config"]),
    // The settings of the logs.
    ("telemetry", &["config"]),
    ("store", &["domain", "error", "config", "telemetry"]),
    ("lane", &["store", "domain", "error", "telemetry"]),
    // The secret is a type of the settings.
    ("auth", &["domain", "error", "config"]),
    ("http", &["lane", "auth", "domain", "error", "config", "telemetry"]),
    ("app", &["http", "lane", "store", "auth", "domain", "error", "config", "telemetry"]),
    ("commands", &["app", "http", "store", "auth", "config", "telemetry"]),
];

/// A library, and where its use is allowed: the beginnings of paths under `src`.
const LIBRARIES: [(&str, &[&str]); 17] = [
    ("actix", &["lane/"]),
    ("actix_cors", &["http/"]),
    ("actix_web", &["http/", "app.rs", "main.rs"]),
    ("aide", &["http/"]),
    ("dashmap", &["lane/"]),
    ("deadpool_postgres", &["store/postgres"]),
    ("indicatif", &["commands/"]),
    ("jsonwebtoken", &["auth/"]),
    ("metrics_exporter_prometheus", &["telemetry/"]),
    ("mimalloc", &["main.rs"]),
    ("opentelemetry", &["telemetry/"]),
    ("opentelemetry_otlp", &["telemetry/"]),
    ("opentelemetry_sdk", &["telemetry/"]),
    ("rusqlite", &["store/sqlite"]),
    ("tokio_postgres", &["store/postgres"]),
    ("utoipa", &["http/"]),
    ("utoipa_swagger_ui", &["http/"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder: its path from there, and its text.
fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust file below {}", folder.display());
    found
}

/// The code without its comments.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `word` stands in `code` with no part of a name before it.
fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(place, _)| place).filter(|place| !code[..*place].ends_with(is_name))
}

/// The modules of our own that a file names: after `crate::`, one or a group in braces.
fn imported(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for place in places(code, "crate::") {
        let rest = &code[place + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.extend(rest.split(|character| !is_name(character)).next().map(str::to_owned));
            continue;
        };
        let (mut depth, mut name) = (0, String::new());
        for character in group.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => modules.push(std::mem::take(&mut name)),
                _ if depth == 0 => name.push(character),
                _ => {}
            }
        }
        modules.push(name);
    }
    let first =
        |module: String| module.trim().split(|character| !is_name(character)).next().unwrap_or("").to_owned();
    modules.into_iter().map(first).filter(|module| !module.is_empty()).collect()
}

/// Whether a file uses a library: its name before `::`, or after `use` (`use a;`, `use a as b;`).
fn uses(code: &str, library: &str) -> bool {
    places(code, library).any(|place| {
        let rest = &code[place + library.len()..];
        let imported = code[..place].trim_end().ends_with("use") && rest.starts_with([';', ' ']);
        rest.starts_with("::") || imported
    })
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn modules_import_only_what_the_design_allows() {
    for (file, text) in rust_files(&root().join("src")) {
        let module = module_of(&file);
        if module == "main" || module == "lib" {
            continue;
        }
        let allowed = IMPORTS.iter().find(|(name, _)| *name == module);
        let (_, allowed) =
            allowed.unwrap_or_else(|| panic!("{file}: tests/tidy.rs does not know `{module}`"));
        for import in imported(&code(&text)) {
            let known = IMPORTS.iter().any(|(name, _)| *name == import);
            let fine = !known || import == module || allowed.contains(&import.as_str());
            assert!(fine, "src/{file} imports `{import}`; `{module}` may import {allowed:?} only");
        }
    }
}

#[test]
fn libraries_are_used_only_where_they_belong() {
    for (file, text) in rust_files(&root().join("src")) {
        let code = code(&text);
        for (library, places) in LIBRARIES {
            let allowed = places.iter().any(|place| file.starts_with(place));
            assert!(
                allowed || !uses(&code, library),
                "src/{file} uses `{library}`, which belongs to {places:?}"
            );
        }
    }
}

#[test]
fn files_are_short_and_say_why_they_exist() {
    for folder in ["src", "tests"] {
        for (file, text) in rust_files(&root().join(folder)) {
            let lines = text.lines().count();
            assert!(lines <= LONGEST_FILE, "{folder}/{file} has {lines} lines; {LONGEST_FILE} are allowed");
            assert!(text.starts_with("//! "), "{folder}/{file} does not begin with `//!`");
        }
    }
}

#[test]
fn imports_and_uses_are_found_in_every_form() {
    let found = imported(
        "use crate::store::Store;\nlet x = crate::auth::y();\nuse crate::{domain::{A, B}, lane, error::Error};\nuse tasklane_crate::http;",
    );
    assert_eq!(found, ["store", "auth", "domain", "lane", "error"]);
    assert_eq!(imported(&code("// crate::store\n/// [`x`](crate::lane)\n")), Vec::<String>::new());
    assert!(
        uses("use actix::Addr;", "actix")
            && uses("let a = actix::spawn;", "actix")
            && uses("use aide;", "aide")
            && uses("use aide as b;", "aide")
    );
    assert!(!uses("use actix_web::App;", "actix") && !uses("let xactix = 1; xactix::f()", "actix"));
}
