//! The systemd units of the package.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Each unit, and the arguments of its program.
const UNITS: [(&str, &str); 3] =
    [("coatcheck", ""), ("coatcheck-api", " api"), ("coatcheck-worker@", " worker")];

/// systemd shares settings among units by their names' beginnings, `coatcheck-` here, which one of these lacks. So each unit has them all.
#[test]
fn each_unit_is_closed_as_the_others_are() {
    let closed: BTreeSet<String> = UNITS
        .iter()
        .map(|(unit, arguments)| {
            let text = unit_file(unit);
            assert!(text.contains(&format!("\nExecStart=/usr/bin/coatcheck{arguments}\n")), "{text}");
            for line in ["Type=notify", "WatchdogSec=60", "Restart=on-failure", "TimeoutStopSec=60"] {
                assert!(text.lines().any(|other| other == line), "{unit}: {line}");
            }
            let (_, rest) = text.split_once("\nUser=").unwrap();
            rest.split_once("\n[Install]").unwrap().0.to_owned()
        })
        .collect();
    let [closed] = closed.iter().collect::<Vec<_>>()[..] else { panic!("they differ: {closed:#?}") };
    for line in ["CapabilityBoundingSet=", "ProtectSystem=strict", "SystemCallFilter=@system-service"] {
        assert!(closed.lines().any(|other| other == line), "{line}");
    }
}

/// No URL with a password is in the environment: each comes as a file.
#[test]
fn the_units_of_the_distributed_form_get_secrets_as_files() {
    for (unit, names) in [
        ("coatcheck-api", &["database-url", "amqp-url", "redis-url", "jwt-secret"][..]),
        ("coatcheck-worker@", &["database-url", "amqp-url", "redis-url"]),
    ] {
        let text = unit_file(unit);
        let environment = text.lines().find_map(|line| line.strip_prefix("Environment=")).unwrap();
        let given: BTreeSet<&str> = environment.split(' ').collect();
        let credentials: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("LoadCredential=")).collect();
        let files = each(names, |name| format!("{name}:/etc/coatcheck/{name}"));
        let settings =
            each(names, |name| format!("{}_FILE=%d/{name}", name.to_uppercase().replace('-', "_")));
        assert_eq!(credentials, files.iter().map(String::as_str).collect(), "{unit}");
        assert_eq!(given, settings.iter().map(String::as_str).collect(), "{unit}");
    }
}

fn each(names: &[&str], text: impl Fn(&str) -> String) -> Vec<String> {
    names.iter().map(|name| text(name)).collect()
}

fn unit_file(unit: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployment/package");
    fs::read_to_string(folder.join(format!("{unit}.service"))).unwrap()
}
