//! The paths of the API as its OpenAPI description lists them: the query parameters of each, and the path that a client probably meant when
//! its request matched none.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::web::Query;
use strsim::osa_distance;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, Paths};
use utoipa::openapi::{PathItem, RefOr};

use crate::http::params::{unreadable, wrong};
use crate::http::problem::Problem;
use crate::route::operations;
use crate::uploads::filename;

/// The longest path, in bytes, that is compared with the known ones.
const MAX_MEANT: usize = 100;
/// How many characters of a path may be wrong.
const TYPOS: usize = 2;
/// The most bytes of an unknown parameter's name that a problem repeats.
const MAX_NAME: usize = 64;

/// The described paths: for each path and method, the names of its query parameters.
pub struct Addresses(BTreeMap<String, Vec<(Method, Vec<String>)>>);

impl Addresses {
    /// Reads the addresses from the description's paths.
    pub fn of(paths: &Paths) -> Self {
        Self(paths.paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect())
    }

    /// Checks that a request's query has only parameters that its address knows. An address that is not described, such as a page, takes
    /// any parameter.
    ///
    /// # Errors
    /// 400 `invalid-parameter`, with the name of the unknown parameter and the names of the known ones.
    pub fn check_query(&self, method: &Method, path: &str, query: &str) -> Result<(), Problem> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let known = self.0.get(path).and_then(|methods| methods.iter().find(|(known, _)| known == method));
        let Some((_, known)) = known.filter(|_| !query.is_empty()) else { return Ok(()) };
        let Query(sent) = Query::<Vec<(String, String)>>::from_query(query).map_err(unreadable)?;
        let Some((name, _)) = sent.iter().find(|(name, _)| !known.contains(name)) else { return Ok(()) };
        let taken = match known.as_slice() {
            [] => "this address takes no query parameters".to_owned(),
            known => format!("this address takes `{}`", known.join("`, `")),
        };
        let name = filename::shown(&name.as_bytes()[..name.len().min(MAX_NAME)]);
        Err(wrong(&name, format!("unknown; {taken}")))
    }

    /// Returns the known address that a request for `path` probably meant, with the request's own ids filled in.
    pub fn meant(&self, path: &str) -> Option<String> {
        let path = path.get(..MAX_MEANT).map_or(Some(path), |_| None)?;
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let asked = format!("/{}", segments.join("/"));
        let tail = asked.trim_start_matches("/api").trim_start_matches("/v1");
        // A version or its prefix was left out, or put where it doesn't belong.
        let forms = [asked.clone(), format!("/api/v1{tail}"), format!("/api{tail}"), tail.to_owned()];
        let exact = forms.iter().find_map(|form| self.0.keys().find_map(|known| filled(known, form, 0)));
        exact.or_else(|| self.0.keys().find_map(|known| filled(known, &asked, TYPOS)))
    }

    /// Returns another address near `path` that takes the method: the collection of an item, or an item of a collection.
    pub fn taking(&self, method: &Method, path: &str) -> Option<&str> {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent).unwrap_or_default();
        let is_near = |other: &str| {
            other == parent || other.strip_prefix(path).is_some_and(|rest| rest.starts_with("/{"))
        };
        let takes = |methods: &[(Method, Vec<String>)]| methods.iter().any(|(known, _)| known == method);
        let near = self.0.iter().find(|(other, methods)| is_near(other) && takes(methods));
        near.map(|(other, _)| other.as_str())
    }
}

/// Returns the known path with the ids of the asked one filled in, if the two differ by at most `typos` characters.
fn filled(known: &str, asked: &str, typos: usize) -> Option<String> {
    let (known, asked): (Vec<&str>, Vec<&str>) = (known.split('/').collect(), asked.split('/').collect());
    if known.len() != asked.len() {
        return None;
    }
    let mut left = typos;
    let mut meant = Vec::with_capacity(known.len());
    for (known, asked) in known.into_iter().zip(asked) {
        if known.starts_with('{') {
            meant.push(asked);
            continue;
        }
        let lower = asked.to_ascii_lowercase();
        left = left.checked_sub(osa_distance(known, &lower))?;
        meant.push(known);
    }
    Some(meant.join("/"))
}

fn methods(item: &PathItem) -> Vec<(Method, Vec<String>)> {
    operations(item).map(|(method, operation)| (method, query_names(operation))).collect()
}

fn query_names(operation: &Operation) -> Vec<String> {
    let query_name = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(Parameter { name, parameter_in: ParameterIn::Query, .. }) => Some(name.clone()),
        _ => None,
    };
    operation.parameters.iter().flatten().filter_map(query_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        let get = |names: &[&str]| vec![(Method::GET, names.iter().map(|name| (*name).to_owned()).collect())];
        Addresses(BTreeMap::from([
            ("/api/v1/tasks".to_owned(), get(&["kind", "limit"])),
            ("/api/v1/tasks/{id}".to_owned(), get(&["wait"])),
            ("/api/v1/session".to_owned(), vec![(Method::POST, Vec::new())]),
            ("/api/data".to_owned(), get(&[])),
            ("/docs".to_owned(), get(&[])),
        ]))
    }

    #[test]
    fn a_parameter_that_the_address_does_not_know_is_refused_by_name() {
        let check = |method: &Method, path: &str, query: &str| {
            addresses().check_query(method, path, query).map_err(|problem| format!("{problem:?}"))
        };
        for (path, query) in
            [("/api/v1/tasks", "kind=md5&limit=1"), ("/api/v1/tasks", ""), ("/page", "any=1"), ("/docs", "")]
        {
            assert_eq!(check(&Method::GET, path, query), Ok(()), "{path}?{query}");
        }
        assert_eq!(check(&Method::HEAD, "/api/v1/tasks/{id}", "wait=1"), Ok(()));
        for (method, path, query, named) in [
            (Method::GET, "/api/v1/tasks", "kind=md5&stat=failed", "`stat`"),
            (Method::GET, "/api/v1/tasks", "Kind=md5", "`Kind`"),
            (Method::GET, "/api/v1/tasks", "=", "``"),
            (Method::HEAD, "/api/v1/tasks/{id}", "limit=1", "`limit`"),
            (Method::POST, "/api/v1/session", "username=a", "`username`"),
            (Method::GET, "/api/v1/tasks", "%0A=1", "`\u{fffd}`"),
        ] {
            let refused = check(&method, path, query).unwrap_err();
            assert!(refused.contains(named), "{path}?{query}: {refused}");
        }
        let long = format!("{}=1", "x".repeat(5000));
        assert!(check(&Method::GET, "/api/data", &long).unwrap_err().len() < 500);
    }

    #[test]
    fn the_address_that_was_meant_is_found() {
        for (asked, meant) in [
            ("/api/v1/tasks/", Some("/api/v1/tasks")),
            ("/API/V1/Tasks", Some("/api/v1/tasks")),
            ("/tasks", Some("/api/v1/tasks")),
            ("/v1/tasks/7", Some("/api/v1/tasks/7")),
            ("/api/tasks", Some("/api/v1/tasks")),
            ("/api//v1/tasks", Some("/api/v1/tasks")),
            ("/api/v1/task", Some("/api/v1/tasks")),
            ("/api/v1/taskss/7", Some("/api/v1/tasks/7")),
            ("/api/v1/data", Some("/api/data")),
            ("/api/v1/something", None),
            ("/", None),
            ("", None),
            ("/favicon.ico", None),
        ] {
            assert_eq!(addresses().meant(asked).as_deref(), meant, "{asked}");
        }
        assert_eq!(addresses().meant(&"/x".repeat(100_000)), None);
        assert_eq!(addresses().meant(&"é".repeat(60)), None);
    }

    #[test]
    fn a_method_is_found_at_the_address_beside() {
        assert_eq!(addresses().taking(&Method::POST, "/api/v1/session/{id}"), Some("/api/v1/session"));
        assert_eq!(addresses().taking(&Method::PUT, "/api/v1/session"), None);
    }
}
