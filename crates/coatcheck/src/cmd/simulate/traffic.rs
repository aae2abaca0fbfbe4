//! Made-up requests of visitors and their answers, about as frequent as on a real site.
//!
//! All addresses are in the ranges for documentation and benchmarks (RFC 5737, 2544, 3849), which belong to no site.

use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

/// A source of requests, each as a line.
pub struct Traffic {
    rng: Rng,
}

/// Choices, each with its weight.
type Weighted<T> = [(T, u32)];

/// A few visitors make most of the requests: a crawler, a monitor, an office behind one address.
const HEAVY_HITTERS: [(&str, u32); 6] = [
    ("192.0.2.10", 30),
    ("198.51.100.7", 20),
    ("2001:db8:cafe::1", 15),
    ("203.0.113.99", 15),
    ("192.0.2.200", 12),
    ("2001:db8:0:1::53", 8),
];

const PAGES: [(&str, u32); 16] = [
    ("/", 240),
    ("/index.html", 40),
    ("/assets/app.css", 120),
    ("/assets/app.js", 120),
    ("/assets/logo.svg", 90),
    ("/favicon.ico", 60),
    ("/robots.txt", 15),
    ("/healthz", 50),
    ("/about", 20),
    ("/contact", 15),
    ("/blog", 30),
    ("/blog/2026/a-coat-for-every-file", 12),
    ("/login", 25),
    ("/cart", 30),
    ("/downloads/catalogue.pdf", 10),
    ("/old-shop", 8),
];

/// Requests of visitors that look for weaknesses.
const PROBES: [(&str, u32); 5] =
    [("/wp-login.php", 10), ("/.env", 8), ("/admin/", 5), ("/.git/config", 4), ("/phpmyadmin/?lang=en", 3)];

const WORDS: [&str; 8] =
    ["coat", "hat", "wool%20scarf", "gloves", "umbrella", "boots", "m%C3%BCtze", "raincoat"];

impl Traffic {
    pub fn new(rng: Rng) -> Self {
        Self { rng }
    }

    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Returns the next request as `{IP} {METHOD} {URI} {STATUS}`.
    pub fn line(&mut self) -> String {
        let ip = self.ip();
        let (method, uri, statuses) = self.request();
        let status = pick(&mut self.rng, statuses);
        format!("{ip} {method} {uri} {status}")
    }

    fn ip(&mut self) -> String {
        match self.rng.u32(..100) {
            0..40 => pick(&mut self.rng, &HEAVY_HITTERS).to_owned(),
            // Returning visitors.
            40..75 => Ipv4Addr::new(198, 18, 0, self.rng.u8(1..=200)).to_string(),
            75..85 => Ipv4Addr::from_bits(0xc612_0000 | self.rng.u32(..1 << 17)).to_string(),
            85..95 => {
                let visitor = self.rng.u16(1..=80);
                Ipv6Addr::new(0x2001, 0xdb8, 0, visitor, 0, 0, 0, 1).to_string()
            }
            _ => {
                let host: u64 = self.rng.u64(..);
                Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(host)).to_string()
            }
        }
    }

    fn request(&mut self) -> (&'static str, String, &'static Weighted<u16>) {
        let rng = &mut self.rng;
        match rng.u32(..100) {
            0..60 => {
                let method = pick(rng, &[("GET", 96), ("HEAD", 4)]);
                let uri = pick(rng, &PAGES);
                let statuses: &Weighted<u16> = match uri {
                    "/old-shop" => &[(301, 90), (308, 10)],
                    uri if uri.starts_with("/assets/") => &[(200, 60), (304, 39), (404, 1)],
                    _ => &[(200, 92), (304, 5), (500, 1), (503, 2)],
                };
                (method, uri.to_owned(), statuses)
            }
            60..78 => {
                let uri = format!("/products/{}", popular(rng, 5000));
                ("GET", uri, &[(200, 93), (304, 2), (404, 4), (500, 1)])
            }
            78..85 => {
                let (word, page) = (rng.choice(WORDS).unwrap_or_default(), popular(rng, 9));
                ("GET", format!("/search?q={word}&page={page}"), &[(200, 96), (400, 2), (504, 2)])
            }
            85..90 => ("POST", "/login".to_owned(), &[(302, 70), (401, 25), (429, 5)]),
            90..97 => {
                let (id, method) = (
                    popular(rng, 90_000),
                    pick(rng, &[("GET", 60), ("PUT", 15), ("PATCH", 10), ("DELETE", 15)]),
                );
                let uri = format!("/api/v1/orders/{id}");
                (method, uri, &[(200, 80), (403, 5), (404, 10), (409, 3), (502, 2)])
            }
            97 => ("POST", "/api/v1/orders".to_owned(), &[(201, 88), (400, 5), (422, 5), (503, 2)]),
            98 => ("OPTIONS", "/api/v1/orders".to_owned(), &[(204, 100)]),
            _ => ("GET", pick(rng, &PROBES).to_owned(), &[(404, 92), (403, 8)]),
        }
    }
}

fn pick<T: Copy>(rng: &mut Rng, choices: &Weighted<T>) -> T {
    let all: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.u32(..all);
    for (choice, weight) in choices {
        match left.checked_sub(*weight) {
            Some(less) => left = less,
            None => return *choice,
        }
    }
    choices[0].0
}

/// Returns a number from 1 to `most`, lower ones more often: a tenth of them gets about half of the visits.
fn popular(rng: &mut Rng, most: u32) -> u32 {
    1 + (f64::from(most) * rng.f64().powf(3.3)) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use access_log::record::LogLine;

    use super::*;

    #[test]
    fn each_line_is_one_that_the_access_log_takes() {
        let mut traffic = Traffic::new(Rng::with_seed(1));
        for _ in 0..20_000 {
            let line = traffic.line();
            assert_eq!(line.parse::<LogLine>().map(|log| log.to_string()), Ok(line));
        }
    }

    #[test]
    fn a_few_visitors_make_much_of_the_traffic_and_most_of_it_goes_well() {
        let mut traffic = Traffic::new(Rng::with_seed(2));
        let lines: Vec<String> = (0..20_000).map(|_| traffic.line()).collect();
        let count = |is: &dyn Fn(&str) -> bool| lines.iter().filter(|line| is(line)).count();
        let mut visits: HashMap<&str, usize> = HashMap::new();
        lines.iter().for_each(|line| *visits.entry(line.split(' ').next().unwrap()).or_default() += 1);
        let mut visits: Vec<usize> = visits.into_values().collect();
        visits.sort_unstable_by(|a, b| b.cmp(a));

        assert!(visits.len() > 1000, "{} visitors", visits.len());
        assert!(visits[..6].iter().sum::<usize>() > lines.len() / 4);
        assert!(count(&|line| line.split(' ').next().unwrap().contains(':')) > lines.len() / 10);
        assert!(count(&|line| line.ends_with(" 200")) > lines.len() / 2);
        for class in 2..=5 {
            assert!(count(&|line| line[line.len() - 3..].starts_with(&class.to_string())) > 0, "{class}xx");
        }
    }
}
