//! Lines that come from outside: what is taken is what was sent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and clippy.toml excuses only functions that are marked as tests"
)]

use access_log::record::{LogLine, check_ip, check_method, check_uri};

#[test]
fn a_log_line_that_is_taken_is_told_as_it_was() {
    test_kit::fuzz!("log-lines", |input: &[u8]| {
        let line = String::from_utf8_lossy(input);
        match line.parse::<LogLine>() {
            Ok(log) => {
                let told = log.to_string();
                assert_eq!(told, line);
                assert_eq!(told.parse(), Ok(log));
                let [ip, method, uri, status] = *told.split(' ').collect::<Vec<_>>() else {
                    panic!("{told}")
                };
                assert_eq!((check_ip(ip), check_method(method), check_uri(uri)), (Ok(()), Ok(()), Ok(())));
                assert!((100..=599).contains(&status.parse().unwrap()), "{status}");
                assert!(!told.contains(char::is_control), "{told:?}");
            }
            Err(wrong) => assert!((1..=line.chars().count() + 1).contains(&wrong.character), "{wrong}"),
        }
    });
}
