//! Links between documents: relative ones name a file that is there, and `#anchors` a heading in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Page, markdown_in, root};

#[test]
fn each_link_of_a_document_leads_somewhere() {
    let pages = markdown_in(Path::new(""));
    assert!(pages.len() > 80, "{} documents", pages.len());
    let anchors: BTreeMap<&Path, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.as_path(), anchors_of(&page.text))).collect();

    let mut broken = Vec::new();
    for page in &pages {
        for link in links_of(&page.text) {
            if let Some(reason) = trouble(&anchors, page, &link) {
                broken.push(format!("{}: {link}: {reason}", page.path.display()));
            }
        }
    }

    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_page_is_in_the_summary() {
    let summary = Page::read("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> =
        links_of(&summary.text).iter().map(|link| target(&summary.path, link)).collect();

    let pages = markdown_in(Path::new("docs"));
    let missing: Vec<_> = pages
        .iter()
        .map(|page| &page.path)
        .filter(|path| **path != summary.path && !listed.contains(*path))
        .collect();

    assert!(missing.is_empty(), "docs/SUMMARY.md lacks {missing:?}");
}

#[test]
fn anchors_are_those_of_code_hosting_sites() {
    let anchors =
        anchors_of("# A `code`, and more\n\n## POST /api/v1/md5\n\n## A_b\n\n## A_b\n\n<a id=\"own\"></a>\n");

    assert!(anchors.iter().eq(["a-code-and-more", "a_b", "a_b-1", "own", "post-apiv1md5"]), "{anchors:?}");
}

/// Why a link leads nowhere; `None` if it does not, or to another host.
fn trouble(anchors: &BTreeMap<&Path, BTreeSet<String>>, page: &Page, link: &str) -> Option<&'static str> {
    if ["https://", "http://", "mailto:"].iter().any(|start| link.starts_with(start)) {
        return None;
    }
    let path = target(&page.path, link);
    if link.starts_with('/') || !root().join(&path).exists() {
        return Some("no such file");
    }
    let (_, anchor) = link.split_once('#')?;
    let is_there = anchors.get(&*path).is_some_and(|anchors| anchors.contains(anchor));
    (!is_there).then_some("no such heading")
}

/// Returns the path that a link of a page names, from the root.
fn target(page: &Path, link: &str) -> PathBuf {
    let path = link.split('#').next().unwrap();
    if path.is_empty() {
        return page.to_owned();
    }
    let mut target = page.parent().unwrap().to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => assert!(target.pop(), "{}: {link} leads out", page.display()),
            part => target.push(part),
        }
    }
    target
}

fn events(text: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Returns what links and pictures name, in Markdown and in HTML.
fn links_of(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for event in events(text) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push(dest_url.into_string());
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                links.extend(attributes(&html, &["href", "src"]));
            }
            _ => {}
        }
    }
    links
}

/// Returns the anchors of all headings, as code hosting sites and mdBook make them, and those that are named in HTML.
fn anchors_of(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading) = (BTreeSet::new(), None::<String>);
    for event in events(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let taken = (1..).map(|number| format!("{slug}-{number}"));
                let free = std::iter::once(slug.clone()).chain(taken).find(|slug| !anchors.contains(slug));
                anchors.extend(free);
            }
            Event::Html(html) | Event::InlineHtml(html) => anchors.extend(attributes(&html, &["id", "name"])),
            _ => {}
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn attributes(html: &str, names: &[&str]) -> Vec<String> {
    let values = |name: &&str| {
        let begin = format!(" {name}=\"");
        let rests = html.split(&*begin).skip(1).map(str::to_owned).collect::<Vec<_>>();
        rests.into_iter().filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
    };
    names.iter().flat_map(values).collect()
}
