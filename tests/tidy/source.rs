//! The source files, as the checks read them: without comments and without their tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder: its path from there, and its text.
pub fn rust_files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "no Rust file below {}", folder.display());
    found
}

/// The code without its comments.
pub fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The code without the module of tests at its end.
pub fn without_tests(code: &str) -> &str {
    code.split_once("#[cfg(test)]\nmod tests").map_or(code, |(before, _)| before)
}

pub fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `word` stands in `code` with no part of a name or path before it.
pub fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let starts = |index: &usize| !code[..*index].ends_with(|before| is_name(before) || before == ':');
    code.match_indices(word).map(|(index, _)| index).filter(starts)
}
