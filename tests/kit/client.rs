//! An HTTP client for a stack: uploads, tickets, and malformed requests.

use futures::TryStreamExt;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use test_kit::{DEADLINE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kit::content::noise;
use crate::kit::stack::Stack;

/// A response, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Returns the body of a problem; checks its form, status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem =
            if self.header("content-type") == "application/problem+json" { self.json() } else { Value::Null };
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{}", self.text());
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
        let request_id = problem["request_id"].as_str().unwrap_or_default();
        assert_eq!(request_id.len(), 36, "{problem}");
        problem
    }
}

/// Sends a request and reads the whole answer.
pub async fn ask(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.timeout(DEADLINE).send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes_stream().try_fold(Vec::new(), async |mut body, chunk| {
        body.extend(chunk);
        Ok(body)
    });
    Ok(Answer { status, headers, body: body.await? })
}

impl Stack {
    pub async fn get(&self, path: &str) -> Answer {
        ask(self.http.get(self.url(path))).await.unwrap()
    }

    pub async fn ask(&self, method: Method, path: &str) -> Answer {
        ask(self.http.request(method, self.url(path))).await.unwrap()
    }

    /// Hands bytes in as a bare body; checks the form of the answer and returns the id.
    pub async fn put(&self, bytes: impl Into<reqwest::Body>) -> String {
        accepted(&ask(self.put_request("file", bytes)).await.unwrap())
    }

    /// Hands bytes in as a form; checks the form of the answer and returns the id.
    pub async fn post(&self, bytes: impl Into<reqwest::Body>) -> String {
        accepted(&ask(self.post_request("file", bytes)).await.unwrap())
    }

    pub fn put_request(&self, name: &str, bytes: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.put(self.url(&format!("/api/v1/md5/{name}"))).body(bytes)
    }

    pub fn post_request(&self, name: &str, bytes: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let file = Part::stream(bytes).file_name(name.to_owned());
        self.http.post(self.url("/api/v1/md5")).multipart(Form::new().part("file", file))
    }

    /// Returns the task as it is now; it must exist.
    pub async fn task(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/tasks/{id}")).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        answer.json()
    }

    /// Returns the task as soon as it has that status.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        eventually(&format!("task {id} {status}"), async || {
            let task = self.get(&format!("/api/v1/tasks/{id}?wait=1")).await.json();
            let has_ended = !task["finished"].is_null();
            assert!(task["status"] == status || !has_ended, "task {id} was to be {status}: {task}");
            if task["status"] == status { Ok(task) } else { Err(task) }
        })
        .await
    }

    /// Returns all tasks, newest first, read page by page.
    pub async fn tasks(&self, query: &str) -> Vec<Value> {
        let (mut tasks, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/tasks?{query}{after}")).await.json();
            tasks.extend(page["tasks"].as_array().expect("a list of tasks").iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return tasks,
            }
        }
    }

    /// Sends the first `sent` bytes of an upload that announces `length`: [`noise`] of seed 2.
    pub async fn begin_put(&self, length: usize, sent: usize) -> TcpStream {
        let address = self.address();
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let head =
            format!("PUT /api/v1/md5/begun HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&noise(2, sent)).await.unwrap();
        connection
    }

    /// Sends bytes unchanged over a connection of their own, and reads until the server ends it.
    pub async fn raw(&self, request: &[u8]) -> Answer {
        let mut connection = TcpStream::connect(self.address()).await.unwrap();
        // A server that has rejected the beginning need not read the rest.
        let _ = connection.write_all(request).await;
        read_answer(connection).await
    }
}

/// Returns a client for tests. It follows no redirects, and trusts no authority, so it needs no root certificates, which some machines lack.
pub fn http() -> reqwest::ClientBuilder {
    client::http::builder(false).unwrap()
}

/// Returns the id in a 202 answer.
#[track_caller]
pub fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Reads one response, up to its length or the end of the connection.
pub async fn read_answer(mut connection: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let answer = async {
        loop {
            if let Some((answer, _)) = whole_answer(&bytes) {
                return answer;
            }
            let mut chunk = [0; 4096];
            match connection.read(&mut chunk).await {
                Ok(read @ 1..) => bytes.extend(&chunk[..read]),
                ended => panic!("{ended:?} after {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
    };
    timeout(DEADLINE, answer).await.expect("the server doesn't answer")
}

/// Returns the answer at the beginning of the bytes, if it is whole, and its length. Does not read chunked answers.
pub fn whole_answer(bytes: &[u8]) -> Option<(Answer, usize)> {
    let head_ends = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_ends]).unwrap();
    let body = &bytes[head_ends + 4..];
    let (status_line, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let length: usize =
        headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = || Answer { status, headers, body: body[..length].to_vec() };
    (body.len() >= length).then(|| (answer(), head_ends + 4 + length))
}

/// Returns a request with a form as its body, written out byte for byte.
pub fn form_request(boundary: &str, body: &[u8]) -> Vec<u8> {
    let content_type = format!("multipart/form-data; boundary={boundary}");
    upload_request(&[(CONTENT_TYPE.as_str(), &content_type)], body)
}

/// Returns an upload to the form's address with these headers and this body, and its true length.
pub fn upload_request(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head =
        format!("POST /api/v1/md5 HTTP/1.1\r\nHost: coatcheck\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
