//! Which file names what of which other file, as far as paths that begin with `crate`, `super`, `self` or a
//! child module tell. What a macro puts together, and methods called on another file's type without naming it,
//! are not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{code, is_name, occurrences, rust_files, without_tests};

/// A path in a `use` or in an expression, absolute from `crate`.
type Names = Vec<String>;

/// What comes before a name where it is defined.
const KINDS: [&str; 7] = ["struct", "enum", "trait", "type", "fn", "const", "static"];

/// The source tree: every file's module, its code and what it re-exports.
pub struct Tree {
    /// By module path.
    modules: BTreeMap<Names, Module>,
}

struct Module {
    file: String,
    code: String,
    /// A name that this module gives out, and the path it stands for.
    exports: BTreeMap<String, Names>,
    /// Modules whose names it gives out, all of them.
    globs: Vec<Names>,
}

/// The module path of a file below `src`.
fn module_path(file: &str) -> Names {
    let mut names: Names = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|last| last == "mod" || last == "lib") {
        names.pop();
    }
    names
}

impl Tree {
    /// Reads every file below a folder, but `main.rs`, which is a crate of its own.
    pub fn read(folder: &std::path::Path) -> Self {
        let files = rust_files(folder).into_iter().filter(|(file, _)| file != "main.rs");
        Self::of(files)
    }

    pub fn of(files: impl Iterator<Item = (String, String)>) -> Self {
        let mut modules: BTreeMap<_, _> = files
            .map(|(file, text)| {
                let code = without_tests(&code(&text)).to_owned();
                (module_path(&file), Module { file, code, exports: BTreeMap::new(), globs: Vec::new() })
            })
            .collect();
        let paths: BTreeSet<_> = modules.keys().cloned().collect();
        for (path, module) in &mut modules {
            for (public, name, target) in uses(path, &module.code, &paths) {
                match name {
                    Some(name) if public => drop(module.exports.insert(name, target)),
                    None if public => module.globs.push(target),
                    _ => {}
                }
            }
        }
        Self { modules }
    }

    /// The path that a name stands for which a module gives out.
    fn exported(&self, module: &Module, name: &str) -> Option<Names> {
        let defines = |glob: &&Names| {
            let words = self.modules.get(*glob).map(|module| module.code.split_whitespace());
            words.is_some_and(|words| {
                words.clone().zip(words.skip(1)).any(|(kind, defined)| {
                    KINDS.contains(&kind)
                        && defined.split(|character| !is_name(character)).next() == Some(name)
                })
            })
        };
        let by_glob =
            || module.globs.iter().find(defines).map(|glob| [glob.clone(), vec![name.to_owned()]].concat());
        module.exports.get(name).cloned().or_else(by_glob)
    }

    /// The file that defines what a path names, through all re-exports.
    fn file_of(&self, path: &[String]) -> Option<&str> {
        let mut path = path.to_vec();
        // No chain of re-exports is that long.
        for _ in 0..8 {
            let known = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
            let module = &self.modules[&path[..known]];
            match path.get(known).and_then(|name| self.exported(module, name)) {
                Some(target) => path = [target, path[known + 1..].to_vec()].concat(),
                // Naming a module is no use of what its `mod.rs` defines.
                None if known == path.len() && module.file.ends_with("mod.rs") => return None,
                None => return Some(&module.file),
            }
        }
        panic!("re-exports go in a circle: {path:?}")
    }

    /// Every file, with the files it imports.
    pub fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let paths: BTreeSet<_> = self.modules.keys().cloned().collect();
        let imports = self.modules.iter().map(|(path, module)| {
            let named = uses(path, &module.code, &paths).into_iter().filter(|(public, ..)| !public);
            let named = named.map(|(_, _, target)| target).chain(mentions(path, &module.code, &paths));
            let files = named.filter_map(|target| self.file_of(&target)).filter(|file| *file != module.file);
            (module.file.as_str(), files.collect())
        });
        imports.collect()
    }
}

/// Absolute, if it begins with one of our own modules.
fn absolute(here: &[String], path: &[String], modules: &BTreeSet<Names>) -> Option<Names> {
    let first = path.first()?;
    let above = path.iter().take_while(|name| *name == "super").count();
    if above > 0 {
        return Some([&here[..here.len().checked_sub(above)?], &path[above..]].concat());
    }
    match first.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([here, &path[1..]].concat()),
        _ => modules.contains(&[here, &path[..1]].concat()).then(|| [here, path].concat()),
    }
}

/// Every name that the `use` items bring in: whether it is given out again, as what, and what it is.
fn uses(here: &[String], code: &str, modules: &BTreeSet<Names>) -> Vec<(bool, Option<String>, Names)> {
    let mut found = Vec::new();
    for index in occurrences(code, "use ") {
        let line_start = code[..index].rfind('\n').map_or(0, |newline| newline + 1);
        let before = code[line_start..index].trim();
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let Some((item, _)) = code[index + 4..].split_once(';') else { continue };
        let mut leaves = Vec::new();
        expand(&item.split_whitespace().collect::<Vec<_>>().join(" "), &[], &mut leaves);
        for (leaf, name) in leaves {
            found.extend(absolute(here, &leaf, modules).map(|path| (!before.is_empty(), name, path)));
        }
    }
    found
}

/// The leaves of a tree of `use`.
fn expand(tree: &str, prefix: &[String], leaves: &mut Vec<(Names, Option<String>)>) {
    let tree = tree.trim();
    if let Some((before, group)) = tree.split_once('{') {
        let inner = group.trim_end().strip_suffix('}').unwrap_or(group);
        let before = before.trim().trim_end_matches("::").split("::").filter(|name| !name.is_empty());
        let prefix = [prefix, &before.map(str::to_owned).collect::<Names>()].concat();
        let (mut depth, mut start) = (0, 0);
        for (index, character) in inner.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inner[start..index], &prefix, leaves);
                    start = index + 1;
                }
                _ => {}
            }
        }
        expand(&inner[start..], &prefix, leaves);
    } else if !tree.is_empty() {
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
        let mut path: Names = path.split("::").map(str::to_owned).collect();
        if path.last().is_some_and(|last| last == "self" && path.len() > 1) {
            path.pop();
        }
        let name = alias.map(str::to_owned).or_else(|| path.last().cloned()).filter(|name| name != "*");
        path.retain(|name| name != "*");
        leaves.push(([prefix, &path].concat(), name));
    }
}

/// Every path of ours in the code outside `use` items.
fn mentions(here: &[String], code: &str, modules: &BTreeSet<Names>) -> Vec<Names> {
    let children = modules.iter().filter(|module| module.len() == here.len() + 1 && module.starts_with(here));
    let children = children.filter_map(|module| module.last()).map(String::as_str);
    let mut found = Vec::new();
    for first in ["crate", "super", "self"].into_iter().chain(children) {
        for index in occurrences(code, &format!("{first}::")) {
            let end = code[index..].find(|character| !is_name(character) && character != ':');
            let path = code[index..].split_at(end.unwrap_or(code.len() - index)).0;
            let path: Names = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            found.extend(absolute(here, &path, modules));
        }
    }
    found
}

/// The circles of a graph: each the nodes that reach one another.
pub fn circles<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<&'a str>> {
    let reachable = |start: &'a str| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![start]);
        while let Some(node) = todo.pop() {
            todo.extend(graph.get(node).into_iter().flatten().filter(|next| seen.insert(**next)));
        }
        seen
    };
    let reached: BTreeMap<_, _> = graph.keys().map(|node| (*node, reachable(node))).collect();
    let mut found = BTreeSet::new();
    for (node, seen) in &reached {
        let back = |other: &&&str| reached.get(**other).is_some_and(|theirs| theirs.contains(node));
        found.insert(seen.iter().filter(back).copied().collect::<Vec<_>>());
    }
    found.into_iter().filter(|nodes| !nodes.is_empty()).collect()
}

/// What the children of one folder import of each other. A child is a file, or a folder with all that is below it.
pub fn among_children<'a>(
    folder: &str,
    imports: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let child = |file: &'a str| {
        let rest = file.strip_prefix(folder)?;
        let end = rest.find('/').unwrap_or(rest.len());
        Some(&file[..folder.len() + end])
    };
    let mut graph: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (file, imported) in imports {
        let Some(from) = child(file) else { continue };
        let others = imported.iter().filter_map(|file| child(file)).filter(|to| *to != from);
        graph.entry(from).or_default().extend(others);
    }
    graph
}
