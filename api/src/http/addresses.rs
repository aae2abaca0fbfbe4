//! The addresses of the API as its description has them: which query parameters each takes, and which one a request may have
//! meant that found none.

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

/// Bytes of a path that is compared with the addresses at most: a longer one is none of them.
const MAX_MEANT: usize = 100;
/// Characters that may be wrong in a path.
const TYPOS: usize = 2;
/// Bytes of an unknown parameter's name that are told at most.
const MAX_NAME: usize = 64;

/// What the description knows: by path, then by method, the names of the query parameters.
pub struct Addresses(BTreeMap<String, Vec<(Method, Vec<String>)>>);

impl Addresses {
    /// Reads them from the description's paths.
    pub fn of(paths: &Paths) -> Self {
        Self(paths.paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect())
    }

    /// Checks that a request's query has only parameters that its address knows. An address that is not described, such as a
    /// page's, takes any.
    ///
    /// # Errors
    /// 400 `invalid-parameter`, with the name of an unknown one and the names that are known.
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

    /// The address that a request for `path` may have meant, as it should have been written.
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

    /// Another address beside `path` that takes the method: the collection that an item is in, or an item of a collection.
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

/// The asked path put into the known one's form, if they differ by at most so many characters.
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
