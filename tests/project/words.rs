//! How the project writes: lines that match the patterns of `docs/style.md` are counted, and no count may rise.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// The patterns of the page, each with the number of lines that still match it in doc comments and in strings.
///
/// Documents have none. A change that lowers a count lowers the number here.
const PATTERNS: [(&str, usize, usize); 6] = [
    (r"\b(he|his|him)\b", 0, 0),
    (r"[Ww]ho [a-z]+s ", 0, 0),
    (r" is none", 0, 0),
    (r" is no ", 0, 0),
    (r"nobody", 0, 0),
    (r"/// What ", 0, 0),
];

/// The page with the patterns, and measured results: both are not searched.
const EXCEPTIONS: [&str; 2] = ["docs/style.md", "benches/RESULTS.md"];

#[test]
fn the_page_of_style_lists_these_patterns() {
    let page = fs::read_to_string(root().join("docs/style.md")).unwrap();
    let (_, section) = page.split_once("\n## Patterns\n").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));

    let listed: Vec<String> = rows.map(|(pattern, _)| pattern.replace(r"\|", "|")).collect();

    assert_eq!(listed, PATTERNS.map(|(pattern, ..)| pattern));
}

#[test]
fn documents_match_no_pattern() {
    let mut lines = Vec::new();
    for (path, text) in files("md") {
        // Between these marks, pages of reference have the program's own doc comments and strings.
        let mut is_generated = false;
        for (at, line) in text.lines().enumerate() {
            is_generated =
                line.starts_with("<!-- begin: ") || (is_generated && !line.starts_with("<!-- end: "));
            if !is_generated {
                lines.push(Line::new(&path, at + 1, &without_code(line)));
            }
        }
    }
    assert!(lines.len() > 1000, "the documents were found");

    assert_at_most(PATTERNS.iter().map(|(pattern, ..)| (*pattern, 0)), "documents", &lines);
}

#[test]
fn no_further_doc_comment_matches_a_pattern() {
    let mut lines = Vec::new();
    for (path, text) in files("rs") {
        let comments = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_start()));
        let docs = comments.filter(|(_, line)| line.starts_with("///") || line.starts_with("//!"));
        lines.extend(docs.map(|(at, line)| Line::new(&path, at, &without_code(line))));
    }
    assert!(lines.len() > 1000, "the comments were found");

    assert_at_most(PATTERNS.iter().map(|(pattern, most, _)| (*pattern, *most)), "doc comments", &lines);
}

#[test]
fn no_further_string_matches_a_pattern() {
    let mut lines = Vec::new();
    for (path, text) in files("rs").into_iter().filter(|(path, _)| !is_test(path)) {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (at, string) in strings(code) {
            lines.extend(string.lines().map(|line| Line::new(&path, at, line)));
        }
    }
    assert!(lines.len() > 1000, "the strings were found");

    assert_at_most(PATTERNS.iter().map(|(pattern, _, most)| (*pattern, *most)), "strings", &lines);
}

#[test]
fn strings_are_told_from_comments_and_characters() {
    let code = r####"
        // "a comment"
        let quote = '"'; let other = '\''; fn life<'a>(_: &'a str) {}
        println!("one \"two\" \
                  three"); /* "a comment" */
        let raw = r#"four "five""#; let bytes = b"six"; let four = "seven";
    "####;

    let found = strings(code);

    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, [r#"one \"two\" three"#, r#"four "five""#, "six", "seven"]);
    assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [4, 6, 6, 6]);
}

/// A line of text, and its place.
struct Line {
    place: String,
    text: String,
}

impl Line {
    fn new(path: &Path, at: usize, text: &str) -> Self {
        Self { place: format!("{}:{at}", path.display()), text: text.to_owned() }
    }
}

/// Fails if more lines match a pattern than its number, and lists the lines.
fn assert_at_most<'a>(numbers: impl Iterator<Item = (&'a str, usize)>, scope: &str, lines: &[Line]) {
    let mut risen = String::new();
    for (pattern, most) in numbers {
        let regex = Regex::new(pattern).unwrap();
        let hits: Vec<&Line> = lines.iter().filter(|line| regex.is_match(&line.text)).collect();
        if hits.len() > most {
            risen += &format!("\n`{pattern}`: expected at most {most} lines, found {}:", hits.len());
            risen.extend(hits.iter().map(|line| format!("\n  {}: {}", line.place, line.text.trim())));
        }
    }
    assert!(risen.is_empty(), "{scope}: docs/style.md says how to write these lines:{risen}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Returns the repository's own files of that extension, with their text, in the order of their paths.
fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let (mut folders, mut found) = (vec![root().to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let is_ours = !name.to_string_lossy().starts_with('.') && name != "target" && name != "vendor";
            if entry.file_type().unwrap().is_dir() && is_ours {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.retain(|(path, _)| !EXCEPTIONS.iter().any(|exception| path == Path::new(exception)));
    found.sort();
    found
}

/// Returns whether a file has only tests.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "fuzz.rs" || part == "test-kit")
}

/// Replaces code between backticks, such as names of tests.
fn without_code(line: &str) -> String {
    static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new("`[^`]*`").unwrap());
    CODE.replace_all(line, "``").into_owned()
}

/// Returns the string literals in Rust code, each with the number of the line on which it begins.
fn strings(code: &str) -> Vec<(usize, String)> {
    // A comment, a character, a raw string or a string, whichever begins first.
    let token =
        r##"(?s)//[^\n]*|/\*.*?\*/|b?'(?:\\.[^']*|[^\\'])'|r#+"(.*?)"#+|r"([^"]*)"|"((?:\\.|[^"\\])*)""##;
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let tokens = Regex::new(token).unwrap();
    let literals = tokens.captures_iter(code).filter_map(|found| {
        let text = (1..=3).find_map(|group| found.get(group))?;
        let at = code.get(..text.start())?.matches('\n').count() + 1;
        Some((at, continued.replace_all(text.as_str(), "").into_owned()))
    });
    literals.collect()
}
