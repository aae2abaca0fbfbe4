//! The book in `docs/`: its commands do what it says, its reference is what the program says, and its links lead somewhere.

mod commands;
mod links;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

/// A page of Markdown.
struct Page {
    /// From the repository's root.
    path: PathBuf,
    text: String,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.into(), text }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns the pages of the book itself: those of `docs/` but for the decisions.
fn pages() -> Vec<Page> {
    let mut pages = markdown_in(Path::new("docs"));
    pages.retain(|page| !page.path.starts_with("docs/decisions"));
    assert!(pages.len() > 20, "where is the book?");
    pages
}

/// Returns all Markdown in a folder and those below, ordered by path. Folders that are hidden, built or of others are left out.
fn markdown_in(folder: &Path) -> Vec<Page> {
    let (mut folders, mut pages) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            let is_ours =
                !name.starts_with('.') && !["target", "data", "node_modules", "vendor"].contains(&&*name);
            if entry.file_type().unwrap().is_dir() {
                folders.extend(is_ours.then_some(path));
            } else if name.ends_with(".md") {
                pages.push(Page { text: fs::read_to_string(root().join(&path)).unwrap(), path });
            }
        }
    }
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}
