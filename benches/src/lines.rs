//! Lines of an access log: invented, with realistic lengths, the same ones each time.

use bytes::Bytes;
use fastrand::Rng;

/// The number of lines in a chunk.
const CHUNK: usize = 1000;
const PAGES: [&str; 8] =
    ["/", "/index.html", "/assets/app.css", "/assets/app.js", "/favicon.ico", "/blog", "/cart", "/login"];
const STATUSES: [u16; 10] = [200, 200, 200, 200, 200, 304, 304, 301, 404, 503];

/// Generates that many lines, a chunk at a time.
pub fn chunks(count: usize) -> impl Iterator<Item = Bytes> + Send + 'static {
    let mut rng = Rng::with_seed(count as u64);
    (0..count.div_ceil(CHUNK)).map(move |chunk| {
        let lines = CHUNK.min(count - chunk * CHUNK);
        let lines: String = (0..lines).map(|_| line(&mut rng) + "\n").collect();
        lines.into()
    })
}

/// Generates a line `{IP} {METHOD} {URI} {STATUS}`.
pub fn line(rng: &mut Rng) -> String {
    // Addresses reserved for documentation and benchmarks (RFC 2544, 3849).
    let ip = match rng.u32(..10) {
        0 => format!("2001:db8:0:{:x}::1", rng.u16(..)),
        _ => format!("198.18.{}.{}", rng.u8(..), rng.u8(..)),
    };
    let (method, uri) = match rng.u32(..10) {
        0..6 => ("GET", PAGES[rng.usize(..PAGES.len())].to_owned()),
        6 | 7 => ("GET", format!("/products/{}", rng.u32(1..5000))),
        8 => ("GET", format!("/search?q=wool%20scarf&page={}", rng.u32(1..20))),
        _ => ("POST", format!("/api/v1/orders/{}/items", rng.u32(1..90_000))),
    };
    format!("{ip} {method} {uri} {}", STATUSES[rng.usize(..STATUSES.len())])
}
