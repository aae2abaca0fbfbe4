//! Users of a stack, with their sessions and requests; and tokens that Coatcheck has not issued.

use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{AUTHORIZATION, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use test_kit::eventually;

use crate::kit::client::{Answer, ask};
use crate::kit::program::output;
use crate::kit::stack::Stack;

/// The password of all users.
pub const PASSWORD: &str = "correct horse";
/// The secret of stacks for which a test makes tokens itself.
pub const SECRET: &str = "a secret of 32 bytes that the tests know";

impl Stack {
    /// Returns a request to this stack's first address, or to another one with `HOST:PORT` before the path.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with('/') { self.url(path) } else { format!("http://{path}") };
        self.http.request(method, url)
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        ask(self.request(Method::POST, path).body(body.to_string())).await.unwrap()
    }

    /// Registers a user with the common password; returns the user's id.
    pub async fn register(&self, username: &str) -> String {
        let answer = self.post_json("/api/v1/users", &credentials(username, PASSWORD)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Tries to log in.
    pub async fn log_in_with(&self, username: &str, password: &str) -> Answer {
        self.post_json("/api/v1/session", &credentials(username, password)).await
    }

    /// Logs a user in; returns the token.
    pub async fn log_in(&self, username: &str) -> String {
        let answer = self.log_in_with(username, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// Returns the name of the cookie with this deployment's tokens, without TLS.
    pub async fn cookie(&self) -> String {
        cookie_of(&self.ask(Method::DELETE, "/api/v1/session").await)
    }

    /// Makes an admin, logs them in, and returns the token.
    pub async fn admin(&self, username: &str) -> String {
        let done = output(self.user_command(&["create", username, "--admin"])).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.log_in(username).await
    }

    /// Makes a user of that name with the right of that name, logs them in, and returns the token.
    pub async fn with_right(&self, right: &str) -> String {
        self.register(right).await;
        let done = output(self.user_command(&["grant", right, right])).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.log_in(right).await
    }

    /// Returns the command `coatcheck user …` on this stack's database, with the common password.
    pub fn user_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&[&["user"], arguments].concat());
        command.env("COATCHECK_PASSWORD", PASSWORD);
        command
    }

    pub async fn ask_as(&self, token: &str, method: Method, path: &str) -> Answer {
        ask(as_bearer(self.request(method, path), token)).await.unwrap()
    }

    /// Waits until a task that the token's user may see has ended; returns it.
    pub async fn until_ended_as(&self, token: &str, id: &str) -> Value {
        eventually("the task's end", async || {
            let task = self.ask_as(token, Method::GET, &format!("/api/v1/tasks/{id}?wait=1")).await.json();
            if task["finished"].is_null() { Err(task) } else { Ok(task) }
        })
        .await
    }

    /// Makes an API key for the token's user; returns its id and the key.
    pub async fn key(&self, token: &str, name: &str) -> (String, String) {
        let request = as_bearer(self.request(Method::POST, "/api/v1/keys"), token);
        let made = ask(request.body(json!({"name": name}).to_string())).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
        let text = |field: &str| made.json()[field].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }

    pub async fn revoke_key(&self, token: &str, id: &str) -> Answer {
        self.ask_as(token, Method::DELETE, &format!("/api/v1/keys/{id}")).await
    }

    /// Requests the token's user.
    pub async fn me(&self, token: &str) -> Answer {
        self.ask_as(token, Method::GET, "/api/v1/users/me").await
    }
}

pub fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

pub fn as_bearer(request: RequestBuilder, token: &str) -> RequestBuilder {
    request.header(AUTHORIZATION, format!("Bearer {token}"))
}

/// Adds this token to the request in the cookie of that name ([`Stack::cookie`]).
pub fn with_cookie(name: &str, request: RequestBuilder, token: &str) -> RequestBuilder {
    request.header(COOKIE, format!("{name}={token}"))
}

/// Returns the name of the cookie that an answer sets first.
pub fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").split_once('=').expect("a cookie").0.to_owned()
}

/// Returns the header of a token that is signed with this secret.
pub fn header(secret: &str) -> Value {
    let id: String = Sha256::digest(secret).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    json!({"typ": "JWT", "alg": "HS256", "kid": id})
}

/// Returns the claims of a token that is valid for a while.
pub fn claims(user: &str, rights: &[&str]) -> Value {
    json!({"sub": user, "name": "mallory", "rights": rights, "iat": seconds(0), "exp": seconds(600)})
}

/// Returns the time `from_now` seconds from now, as tokens write it.
pub fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_secs().cast_signed() + from_now
}

/// Returns a token of these parts, whatever they say, with a signature by HMAC-SHA-256.
pub fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let content = format!("{}.{}", encoded(header), encoded(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(content.as_bytes());
    format!("{content}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

pub fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Returns the value with some fields changed; `null` removes one.
pub fn changed(mut value: Value, changes: Value) -> Value {
    for (field, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => {
                value.as_object_mut().unwrap().remove(field);
            }
            change => value[field] = change.clone(),
        }
    }
    value
}
